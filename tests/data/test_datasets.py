"""Datasets: splits, statistics and the cache."""

import errno
import io
import json
import os
import re
import shutil
import zipfile
from dataclasses import replace

import pytest
import torch
from PIL import Image

from expertnet.data import cache
from expertnet.data.builtin import BUILTIN
from expertnet.data.cache import data_root
from expertnet.data.custom import known_class_count, refuse_changed_images, save_folder, save_upload, scan
from expertnet.data.datasets import (
    dataset_title,
    find_cached,
    flips,
    has_changed,
    load_dataset,
    load_test_split,
    refuse_if_missing,
)
from expertnet.data.info import DatasetInfo, find_own
from expertnet.data.splits import held_out
from expertnet.errors import DatasetError
from expertnet.settings.schema import DataSettings
from expertnet.utils.progress import Cancelled


def image(value, size=8):
    buffer = io.BytesIO()
    Image.new("RGB", (size, size), (value, 255 - value, 7)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("EXPERTNET_DATA", str(tmp_path / "root"))
    return tmp_path / "root"


@pytest.fixture
def folder(tmp_path):
    """Two classes in train (10 images each) and test (2 each). Every image has its own gray level."""
    for part, count, first in (("train", 10, 0), ("test", 2, 100)):
        for index, name in enumerate(("cat", "dog")):
            (tmp_path / "folder" / part / name).mkdir(parents=True)
            for number in range(count):
                path = tmp_path / "folder" / part / name / f"{number}.png"
                path.write_bytes(image(first + 50 * index + number))
    return tmp_path / "folder"


def settings(dataset, **values):
    return DataSettings(dataset=str(dataset), **{"image_size": 8, **values})


def shown(split):
    """Return the gray levels of a split's images, sorted."""
    return sorted(split.images[:, 0, 0, 0].tolist())


# --- digits ------------------------------------------------------------------------------------------------------------


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


# --- splits ----------------------------------------------------------------------------------------------------------


def test_train_and_validation_are_disjoint_and_complete(root, folder):
    data = load_dataset(settings(folder, validation_share=0.3), seed=5)
    assert data.validation.labels.bincount().tolist() == [3, 3]
    assert sorted(shown(data.train) + shown(data.validation)) == [*range(10), *range(50, 60)]
    assert shown(data.test) == [100, 101, 150, 151]


def test_without_a_validation_share_the_validation_set_is_the_test_set(root, folder):
    data = load_dataset(settings(folder, validation_share=0), seed=0)
    assert data.validation is data.test
    assert len(data.train) == 20


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


# --- statistics --------------------------------------------------------------------------------------------------------


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


# --- cache -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["folder", "archive"])
def test_the_second_load_decodes_nothing(kind, root, folder, monkeypatch):
    path = folder if kind == "folder" else shutil.make_archive(str(folder), "zip", folder)
    first = load_dataset(settings(path), seed=0)
    monkeypatch.setattr(cache, "store", None)  # calling it would fail
    seen = []
    again = load_dataset(settings(path), seed=0, progress=lambda text, share: seen.append(text))
    assert torch.equal(first.train.images, again.train.images)
    assert first.info == again.info
    assert seen == []


def test_class_count_and_cache_state_before_loading(root, folder):
    archive = shutil.make_archive(str(folder), "zip", folder)
    for path in (folder, archive):
        assert not find_cached(settings(path))
        assert known_class_count(settings(path)) is None
        load_dataset(settings(path), seed=0)
        assert find_cached(settings(path))
        assert known_class_count(settings(path)) == 2
        assert not find_cached(settings(path, image_size=16))
    assert known_class_count(settings("cifar100")) == 100
    assert known_class_count(settings("/nowhere")) is None
    assert not find_cached(settings("a\0b"))


def test_the_fingerprint_of_an_archive_is_its_content(root, folder, tmp_path):
    archive = shutil.make_archive(str(folder), "tar", folder)
    copy = shutil.copy(archive, tmp_path / "renamed.bin")
    os.utime(copy, (1, 1))
    first, second = (load_dataset(settings(path), seed=0).info for path in (archive, copy))
    assert first.fingerprint == second.fingerprint
    assert load_dataset(settings(archive, image_size=16), seed=0).info.fingerprint != first.fingerprint


@pytest.mark.parametrize("kind", ["folder", "archive"])
def test_the_images_of_a_run_are_found_after_their_source_is_gone(kind, root, folder):
    path = folder if kind == "folder" else shutil.make_archive(str(folder), "tar", folder)
    data = load_dataset(settings(path), seed=3)
    shutil.rmtree(folder)
    if kind == "archive":
        os.remove(path)
    again = load_dataset(settings(path), seed=3, own=data.info)
    assert again.info == data.info
    for part in ("train", "validation", "test"):
        before, after = getattr(data, part), getattr(again, part)
        assert torch.equal(before.images, after.images) and torch.equal(before.labels, after.labels)
    with pytest.raises(DatasetError, match="There is no folder or archive"):
        load_dataset(settings(path), seed=3)


def test_a_description_leads_to_no_images_but_its_own(root, folder):
    info = load_dataset(settings(folder), seed=0).info
    assert find_own(info)
    assert find_own(replace(info, classes=("cat", "cow"))) is None
    assert find_own(replace(info, image_size=16)) is None
    shutil.copytree(root / "decoded" / info.fingerprint, root / "archive-0")  # as an imported run may claim
    assert find_own(replace(info, fingerprint="../archive-0")) is None


def test_a_changed_archive_is_decoded_again(root, folder):
    archive = shutil.make_archive(str(folder), "tar", folder)
    before = load_dataset(settings(archive), seed=0)
    (folder / "test" / "cat" / "new.png").write_bytes(image(99))
    shutil.make_archive(str(folder), "tar", folder)
    after = load_dataset(settings(archive), seed=0)
    assert len(after.test) == len(before.test) + 1
    assert after.info.fingerprint != before.info.fingerprint


def test_a_folder_is_decoded_again_after_any_change(root, folder):
    def fingerprint():
        return load_dataset(settings(folder), seed=0).info.fingerprint

    first = fingerprint()
    assert fingerprint() == first
    path = folder / "train" / "cat" / "0.png"
    os.utime(path, ns=(1, 1))
    touched = fingerprint()
    path.unlink()
    assert len({first, touched, fingerprint()}) == 3


def test_writing_to_the_tensors_does_not_change_the_cache(root, folder):
    data = load_dataset(settings(folder), seed=0)
    before = data.test.images.clone()
    data.test.images.zero_()
    assert torch.equal(load_dataset(settings(folder), seed=0).test.images, before)


def test_the_parts_of_a_large_dataset_stay_in_files_that_have_no_names(root, folder, monkeypatch):
    data = DataSettings(dataset=str(folder), image_size=8)
    before = load_dataset(data, seed=1)
    monkeypatch.setattr(cache, "MAPPED", before.train.images.numel() + 1)  # with the validation images, it is larger
    after = load_dataset(data, seed=1)
    for part in ("train", "validation"):
        assert torch.equal(getattr(before, part).images, getattr(after, part).images)
        assert torch.equal(getattr(before, part).labels, getattr(after, part).labels)
        assert getattr(after, part).images.untyped_storage().filename
    assert not list(root.rglob(".unfinished-*"))


def test_cancelling_while_decoding_leaves_nothing_behind(root, folder):
    for asked in (1, 3, 20):
        calls = []

        def cancelled(asked=asked, calls=calls):
            calls.append(1)
            return len(calls) >= asked

        with pytest.raises(Cancelled):
            load_dataset(settings(folder), seed=0, cancelled=cancelled)
        assert not list(root.glob("decoded/*"))
        assert not list(root.glob("decoded/.*"))
    assert len(load_dataset(settings(folder), seed=0).test) == 4


def test_a_failure_while_decoding_leaves_nothing_behind(root, folder, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache, "write_atomically", full)
    with pytest.raises(DatasetError, match="No space left on device"):
        load_dataset(settings(folder), seed=0)
    assert not list((root / "decoded").iterdir())


def test_two_concurrent_decodings_both_succeed(root, folder):
    """The second starts and ends during the first."""
    inner = []

    def progress(text, share):
        if not inner and text.startswith("Decoding"):
            inner.append(None)
            inner[0] = load_dataset(settings(folder), seed=0)

    outer = load_dataset(settings(folder), seed=0, progress=progress)
    assert torch.equal(outer.train.images, inner[0].train.images)
    assert outer.info == inner[0].info
    assert len(list((root / "decoded").iterdir())) == 1


@pytest.mark.parametrize("damage", ["shorter", "gone", "json", "fields"])
def test_a_damaged_cache_is_decoded_again(damage, root, folder):
    first = load_dataset(settings(folder), seed=0)
    cached = root / "decoded" / first.info.fingerprint
    if damage == "shorter":
        (cached / "train-images.bin").write_bytes(b"short")
    elif damage == "gone":
        (cached / "test-labels.bin").unlink()
    else:
        (cached / "info.json").write_text("{" if damage == "json" else "{}")
    assert not find_cached(settings(folder))
    again = load_dataset(settings(folder), seed=0)
    assert torch.equal(again.train.images, first.train.images)


def test_leftovers_of_a_killed_process_are_deleted_after_a_day(root, folder):
    old, fresh = root / "decoded" / ".unfinished-old", root / "decoded" / ".unfinished-fresh"
    for path in (old, fresh):
        path.mkdir(parents=True)
        (path / "train-images.bin").write_bytes(b"x")
    os.utime(old, (1, 1))
    load_dataset(settings(folder), seed=0)
    assert not old.exists()
    assert fresh.exists()


def test_progress_reports_activity_and_share(root, folder):
    archive = shutil.make_archive(str(folder), "gztar", folder)
    seen = []
    load_dataset(settings(archive), seed=0, progress=lambda text, share: seen.append((text, share)))
    texts = list(dict.fromkeys(text for text, _ in seen))
    assert texts == [f"{what} folder.tar.gz" for what in ("Checking", "Listing", "Decoding")]
    assert all(share is None or 0 <= share <= 1 for _, share in seen)
    assert seen[-1][1] == 1.0


def test_nothing_is_written_outside_the_data_root(root, folder, tmp_path):
    archive = shutil.make_archive(str(folder), "zip", folder)

    def outside():
        return {str(path): path.stat().st_mtime_ns for path in tmp_path.rglob("*") if root not in (path, *path.parents)}

    before = outside()
    load_dataset(settings(archive), seed=0)
    load_dataset(settings(folder), seed=0)
    assert outside() == before


# --- names, scans and uploads ------------------------------------------------------------------------------------------


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


def test_the_data_root_is_configurable_or_the_users_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("EXPERTNET_DATA", str(tmp_path / "here"))
    assert data_root() == tmp_path / "here"
    monkeypatch.delenv("EXPERTNET_DATA")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert data_root() == tmp_path / "cache" / "expertnet"


def test_an_unreadable_folder_is_rejected(root, folder, monkeypatch):
    def refused(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("expertnet.data.archives.os.scandir", refused)
    with pytest.raises(DatasetError, match="Permission denied"):
        load_dataset(settings(folder), seed=0)


def renamed(path):
    path.rename(path.with_name("rat"))


def one_more(path):
    (path / "new.png").write_bytes(image(99))


def another(path):
    (path / "0.png").write_bytes(image(99))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda cat: shutil.copytree(cat, cat.with_name("cow")), "1 class added (cow)."),
        (shutil.rmtree, "1 class missing (cat)."),
        (renamed, "1 class added (rat), 1 class missing (cat)."),
        (one_more, "15 images then, 16 now."),
        (another, "other images."),
    ],
    ids=["added", "missing", "renamed", "more", "other"],
)
def test_other_images_than_those_of_a_run_are_rejected(change, says, root, tmp_path):
    own = tmp_path / "own"
    for index, name in enumerate(("cat", "dog", "eel")):
        (own / name).mkdir(parents=True)
        for number in range(5):
            (own / name / f"{number}.png").write_bytes(image(50 * index + number))
    data = settings(own)
    info = load_dataset(data, seed=0).info
    assert not has_changed(data, info)
    change(own / "cat")
    assert has_changed(data, info)
    assert load_dataset(data, seed=0, own=info).info == info  # from the cache
    refuse_changed_images(data, info)
    shutil.rmtree(root / "decoded")
    with pytest.raises(DatasetError, match=re.escape(f"own has changed since this run was trained: {says}")):
        load_test_split(data, own=info)
    if "class" in says:  # which is known before any image is read
        with pytest.raises(DatasetError, match=re.escape(says)):
            refuse_changed_images(data, info)


def test_images_that_were_moved_or_touched_are_the_same(root, folder):
    info = load_dataset(settings(folder), seed=0).info
    moved = folder.rename(folder.with_name("moved"))
    os.utime(moved / "train" / "cat" / "0.png", ns=(1, 1))
    shutil.rmtree(root / "decoded")
    assert load_dataset(settings(moved), seed=0, own=info).info == info


def test_the_images_of_a_run_of_an_older_version_are_told_by_their_source(root, folder):
    info = load_dataset(settings(folder), seed=0).info
    older = replace(info, content="", images=0, fingerprint=re.sub(r"-v\d+$", "-v1", info.fingerprint))
    assert DatasetInfo.from_dict({k: v for k, v in older.to_dict().items() if k not in ("content", "images")}) == older
    assert load_dataset(settings(folder), seed=0, own=older).info == older
    another(folder / "train" / "cat")
    with pytest.raises(DatasetError, match="other images"):
        load_dataset(settings(folder), seed=0, own=older)


def test_the_order_of_images_does_not_depend_on_the_number_of_processors(root, folder, monkeypatch):
    orders = []
    for processors in (1, 3):
        monkeypatch.setattr(os, "cpu_count", lambda count=processors: count)
        orders.append(load_dataset(settings(folder, validation_share=0), seed=0).train.images[:, 0, 0, 0].tolist())
        shutil.rmtree(root / "decoded")
    assert orders[0] == orders[1] == sorted(orders[0])


def test_a_scan_counts_images_and_classes_without_decoding(root, folder):
    found = scan(settings(folder))
    assert (found.classes, found.train, found.test) == (("cat", "dog"), 20, 4)
    assert found.counts == (12, 12)
    assert found.sentence == "24 images in 2 classes: 20 for training, 4 held out for the test"
    assert known_class_count(settings(folder)) == 2
    assert not find_cached(settings(folder))


def test_one_class_of_a_folder_leads_to_its_parent(root, folder):
    said = "Did you mean its parent, train, with 2 classes?"
    for _ in range(2):  # the second time, from the cache
        with pytest.raises(DatasetError, match=re.escape(said)) as meant:
            scan(settings(folder / "train" / "cat"))
        assert meant.value.meant == (folder / "train").resolve()
    (folder / "train" / "dog").rename(folder / "dog")
    with pytest.raises(DatasetError) as alone:
        load_dataset(settings(folder / "train" / "cat"), 0)
    assert "Did you mean" not in str(alone.value)


def test_a_rejected_folder_is_scanned_again(root, tmp_path):
    own = tmp_path / "own"
    (own / "cat").mkdir(parents=True)
    (own / "cat" / "1.png").write_bytes(image(1))
    for _ in range(2):
        with pytest.raises(DatasetError, match="only one class, 'cat'"):
            scan(settings(own))
    (own / "dog").mkdir()
    (own / "dog" / "1.png").write_bytes(image(2))
    for refuses in (scan, lambda data: load_dataset(data, seed=0)):
        with pytest.raises(
            DatasetError, match="^own has only one image in the class 'cat', which is too few to hold out"
        ):
            refuses(settings(own))
    (own / "dog" / "2.png").write_bytes(image(3))
    with pytest.raises(DatasetError, match="only one image in the class 'cat'"):
        scan(settings(own))
    (own / "cat" / "2.png").write_bytes(image(4))
    with pytest.raises(DatasetError, match="validation_share"):  # one of the two is held out for the test
        scan(settings(own))
    (own / "dog" / "3.png").write_bytes(image(4))
    found, data = scan(settings(own)), load_dataset(settings(own), seed=0)
    assert found.classes == ("cat", "dog")
    assert (found.train, found.test) == (len(data.train) + len(data.validation), len(data.test)) == (3, 2)


@pytest.mark.parametrize("change", ["added", "removed", "class added"])
def test_a_folder_is_scanned_again_when_one_of_its_folders_changes(change, root, folder):
    before, cat = scan(settings(folder)), folder / "train" / "cat"
    assert scan(settings(folder)) is before
    if change == "added":
        (cat / "new.png").write_bytes(image(99))
    elif change == "removed":
        (cat / "0.png").unlink()
    else:
        shutil.copytree(cat, folder / "train" / "cow")
    for path in (cat, folder / "train"):  # the clock of a file system may be coarse
        os.utime(path, ns=(1, path.stat().st_mtime_ns + 10**9))
    now = scan(settings(folder))
    assert now.train - before.train == {"added": 1, "removed": -1, "class added": 10}[change]
    assert known_class_count(settings(folder)) == len(now.classes)


@pytest.mark.parametrize(
    ("name", "safe_name"),
    [
        ("my flowers.tar.xz", "my_flowers.tar.xz"),
        ("../../etc/passwd", "passwd"),
        ("..\\..\\windows.zip", "windows.zip"),
        ("...", "archive"),
        ("", "archive"),
        (".hidden\n\0.zip", "hidden_.zip"),
        ("é" * 300 + ".zip", "é" * 56 + ".zip"),
    ],
)
def test_an_upload_is_saved_in_the_data_folder_under_a_safe_name(root, name, safe_name):
    path = save_upload(name, b"content")
    assert path.name == safe_name
    assert path.read_bytes() == b"content"
    assert path.parent.parent == root / "uploads"
    assert save_upload(name, b"content") == path
    assert save_upload(name, b"other") != path


def test_a_folder_is_saved_in_one_zip_which_is_the_same_for_the_same_files(root):
    files = [("pets/cat/1.png", b"one"), ("pets/dog/1.png", b"two")]
    path = save_folder("pets.zip", files)
    assert path.name == "pets.zip" and path.parent.parent == root / "uploads"
    with zipfile.ZipFile(path) as archive:
        assert [(name, archive.read(name)) for name in archive.namelist()] == files
    before = path.stat()
    assert save_folder("pets.zip", files) == path and path.stat() == before
    assert save_folder("pets.zip", files[:1]) != path
    assert not list((root / "uploads").glob(".*"))


def test_a_folder_that_cannot_be_saved_leaves_nothing(root):
    def full():
        yield "pets/cat/1.png", b"one"
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        save_folder("pets.zip", full())
    assert list((root / "uploads").iterdir()) == []
