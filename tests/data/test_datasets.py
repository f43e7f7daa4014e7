"""Datasets: the digits, splits, statistics, names and what is rejected."""

import json
import os
import shutil

import pytest
import torch

from expertnet.data import datasets
from expertnet.data.builtin import BUILTIN
from expertnet.data.custom import scan
from expertnet.data.datasets import dataset_title, flips, load_dataset, load_test_split, refuse_if_missing, watched
from expertnet.data.info import DatasetInfo
from expertnet.data.splits import Split, held_out
from expertnet.errors import DatasetError
from expertnet.settings.schema import DataSettings
from tests.support.gray import image, settings, shown


def test_digits_are_rgb_scaled_and_split_into_three_sets():
    data = load_dataset(DataSettings(dataset="digits"), seed=0)
    assert data.info.classes == tuple("0123456789")
    assert data.info.name == "digits"
    assert data.train.images.shape[1:] == (3, 32, 32)
    assert data.train.images.dtype == torch.uint8
    assert data.train.labels.dtype == torch.int64
    assert len(data.train) + len(data.validation) + len(data.test) == 1797
    assert data.train.images.max() == 255
    assert (data.train.images[:, 0] == data.train.images[:, 2]).all()
    for split, share in ((data.test, 0.2), (data.validation, 0.08)):
        counts = split.labels.bincount(minlength=10)
        assert counts.min() > 0
        assert (counts / 179.7 - share).abs().max() < 0.03


def test_the_test_set_is_the_same_for_every_seed_and_the_validation_set_is_not():
    first, same, other = (load_dataset(DataSettings(dataset="digits"), seed=seed) for seed in (0, 0, 1))
    assert torch.equal(first.test.images, other.test.images)
    assert torch.equal(first.validation.images, same.validation.images)
    assert torch.equal(first.train.labels, same.train.labels)
    assert not torch.equal(first.validation.images, other.validation.images)


def test_train_and_validation_are_disjoint_and_complete(root, folder):
    data = load_dataset(settings(folder, validation_share=0.3), seed=5)
    assert data.validation.labels.bincount().tolist() == [3, 3]
    assert sorted(shown(data.train) + shown(data.validation)) == [*range(10), *range(50, 60)]
    assert shown(data.test) == [100, 101, 150, 151]


def test_without_a_validation_share_the_validation_set_is_the_test_set(root, folder):
    data = load_dataset(settings(folder, validation_share=0), seed=0)
    assert data.validation is data.test
    assert len(data.train) == 20


def test_fewer_test_images_are_watched_than_take_a_tenth_of_an_epoch():
    test = Split(torch.zeros(10_000, 1, 1, 1, dtype=torch.uint8), torch.arange(10_000))
    full, small = DataSettings(image_size=32), DataSettings(image_size=32, resolutions=[24, 28, 32])
    assert watched(test, 67_000, full) is test  # 10,000 are a tenth if training takes 1.5 times as long
    assert watched(test, 66_000, full).labels.tolist() == [*range(0, 10_000, 2)]
    assert len(watched(test, 50_000, small)) == 3_334  # of at most 4,219, as images of 24 pixels take 9/16 of the time
    assert len(watched(test, 10, full)) == 1_000


def test_fewer_test_images_are_watched_if_an_epoch_learns_from_fewer_training_images(monkeypatch):
    monkeypatch.setattr(datasets, "FEW", 10)
    data = DataSettings(dataset="digits", validation_share=0)  # 1,438 training and 359 test images
    seen = [len(load_dataset(data, 0, learned_share=share).validation) for share in (1.0, 0.5)]
    assert seen == [180, 90]  # at most 215 and 107: every second and every fourth


def test_at_least_one_image_per_class_is_held_out_and_one_remains():
    labels = torch.tensor([0] + [1] * 2 + [2] * 3 + [3] * 100)
    for share in (0.001, 0.1, 0.5, 0.999):
        remaining, aside = held_out(labels, share, seed=0)
        assert torch.equal(torch.cat([remaining, aside]).sort().values, torch.arange(len(labels)))
        assert labels[remaining].bincount(minlength=4).min() >= 1
        assert labels[aside].bincount(minlength=4)[1:].min() >= 1


def test_single_training_images_cannot_be_held_out(root, tmp_path):
    for part in ("train", "test"):
        for name in ("cat", "dog"):
            (tmp_path / "few" / part / name).mkdir(parents=True)
            (tmp_path / "few" / part / name / "1.png").write_bytes(image(3))
    for refuses in (scan, lambda data: load_dataset(data, seed=0)):
        with pytest.raises(DatasetError, match="^few has only one training image per class.*validation_share"):
            refuses(settings(tmp_path / "few"))
    assert scan(settings(tmp_path / "few", validation_share=0)).train == 2
    assert len(load_dataset(settings(tmp_path / "few", validation_share=0), seed=0).train) == 2


def test_mean_and_deviation_cover_all_training_images(root, folder):
    data = load_dataset(settings(folder, validation_share=0), seed=0)
    values = data.train.images.double() / 255
    assert torch.allclose(torch.tensor(data.info.mean[:2]).double(), values.mean((0, 2, 3))[:2], atol=1e-6)
    assert torch.allclose(torch.tensor(data.info.std[:2]).double(), values.std((0, 2, 3), correction=0)[:2], atol=1e-6)
    seeded = load_dataset(settings(folder, validation_share=0.3), seed=3)
    assert seeded.info == data.info


def test_a_constant_channel_has_a_positive_deviation(root, folder):
    assert load_dataset(settings(folder), seed=0).info.std[2] == pytest.approx(1 / 255)


def test_the_info_survives_json(root, folder):
    info = load_dataset(settings(folder), seed=0).info
    assert DatasetInfo.from_dict(json.loads(json.dumps(info.to_dict()))) == info


def test_the_test_split_loads_alone(root, folder):
    split, info = load_test_split(settings(folder))
    assert shown(split) == [100, 101, 150, 151]
    assert info.classes == ("cat", "dog")


def test_flips_are_off_for_digits_and_on_for_other_images(folder):
    auto = {name: flips(DataSettings(dataset=name)) for name in BUILTIN}
    assert [name for name, flipped in auto.items() if not flipped] == ["digits", "svhn"]
    assert flips(settings(folder))
    assert flips(DataSettings(dataset="digits", flip="on"))
    assert not flips(settings(folder, flip="off"))


def test_titles_are_display_names(tmp_path):
    assert dataset_title("cifar10") == "CIFAR-10"
    for name in ("birds.tar.xz", "birds.TGZ", "birds.zip", "birds.tar", "birds/"):
        assert dataset_title(f"/some/where/{name}") == "birds"
    assert dataset_title("v1.2 (copy).tar.gz") == "v1.2 (copy)"
    assert dataset_title("/some/.zip") == ".zip"


def test_a_folder_named_like_a_built_in_dataset_is_distinct(root, folder):
    info = load_dataset(settings(folder.rename(folder.with_name("digits"))), seed=0).info
    assert info.name not in BUILTIN


def test_an_unknown_dataset_is_rejected(folder):
    with pytest.raises(DatasetError, match="There is no dataset 'mnits'. Use digits"):
        refuse_if_missing(settings("mnits"))
    for path in ("~/images", "./cifar", "some/digits"):
        with pytest.raises(DatasetError) as raised:
            refuse_if_missing(settings(path))
        assert str(raised.value) == f"There is no folder or archive '{path}'. Check the path."
    refuse_if_missing(settings(folder))
    refuse_if_missing(settings("svhn"))


def test_an_unreadable_folder_is_rejected(root, folder, monkeypatch):
    def refused(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("expertnet.data.archives.os.scandir", refused)
    with pytest.raises(DatasetError, match="Permission denied"):
        load_dataset(settings(folder), seed=0)


def test_the_order_of_images_does_not_depend_on_the_number_of_processors(root, folder, monkeypatch):
    orders = []
    for processors in (1, 3):
        monkeypatch.setattr(os, "cpu_count", lambda count=processors: count)
        orders.append(load_dataset(settings(folder, validation_share=0), seed=0).train.images[:, 0, 0, 0].tolist())
        shutil.rmtree(root / "decoded")
    assert orders[0] == orders[1] == sorted(orders[0])
