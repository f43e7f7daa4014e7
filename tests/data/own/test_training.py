"""A training sees of a version what it would see of the same files in class folders, and a run keeps its version."""

import pytest
import torch

from expertnet.data import batches
from expertnet.data.custom import scan
from expertnet.data.datasets import dataset_title, find_cached, load_dataset, refuse_if_missing
from expertnet.data.info import find_own
from expertnet.data.own import edits
from expertnet.data.own.datasets import create_dataset, remove_dataset, restore_dataset, undo
from expertnet.data.own.edits import class_named
from expertnet.data.own.folders import dataset_ids
from expertnet.data.own.intake import add_files
from expertnet.data.own.layout import missing_of
from expertnet.data.own.space import delete_older_versions
from expertnet.data.own.versions import open_version
from expertnet.data.parts import load_training_sample, load_validation_split
from expertnet.errors import DatasetError
from expertnet.settings.fields import build_settings
from expertnet.settings.schema import DataSettings
from expertnet.store.run_store import RunStore
from expertnet.training.runner import run_training
from expertnet.training.start import prepare_resume
from expertnet.training.stop import Stop
from tests.support.own import files_of, flowers, png
from tests.support.small import TINY


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("EXPERTNET_DATA", str(tmp_path / "root"))
    monkeypatch.chdir(tmp_path)


def settings(dataset):
    return DataSettings(dataset=str(dataset), image_size=8)


def in_folder(folder, files):
    for path, data in files:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return folder


def same(one, other):
    return one.info.classes == other.info.classes and all(
        torch.equal(getattr(one, part).images, getattr(other, part).images)
        and torch.equal(getattr(one, part).labels, getattr(other, part).labels)
        for part in ("train", "validation", "test")
    )


def test_a_version_trains_like_its_files_in_class_folders(tmp_path):
    files = files_of("rose", "tulip", count=10)
    dataset = flowers(count=10)
    folder = in_folder(tmp_path / "folder", files)
    loaded = load_dataset(settings(f"{dataset}@2"), seed=1)
    assert same(loaded, load_dataset(settings(folder), seed=1))
    assert loaded.info.name == "Flowers, version 2" == dataset_title("flowers@2")
    assert (
        scan(settings("flowers@2")).sentence
        == "20 images in 2 classes: 16 for training and validation, 4 held out for the test"
    )


def test_a_version_with_its_own_test_set_trains_like_train_and_test_folders(tmp_path):
    files = [(f"train/{path}", data) for path, data in files_of("a", "b", count=6)]
    files += [(f"test/{path}", data) for path, data in files_of("a", "b", count=2, first=50)]
    dataset = create_dataset("Parts").dataset
    add_files(dataset, files)
    assert same(load_dataset(settings(dataset), 0), load_dataset(settings(in_folder(tmp_path / "folder", files)), 0))


def test_classes_named_like_parts_are_classes(tmp_path):
    dataset = flowers("train", "test")
    assert load_dataset(settings(dataset), 0).info.classes == ("test", "train")


def test_a_run_names_the_version_it_trains_on_and_keeps_it():
    dataset = flowers(count=10)
    run = RunStore().create(build_settings("quick", dataset))
    assert run.settings().data.dataset == "flowers@2"
    before = load_dataset(settings("flowers@2"), 0)
    label = class_named(open_version(dataset).contents, "rose")
    edits.rename_class(dataset, label, "Rose")
    assert same(before, load_dataset(settings("flowers@2"), 0))
    assert load_dataset(settings(dataset), 0).info.classes == ("Rose", "tulip")
    assert RunStore().create(run.settings()).settings().data.dataset == "flowers@2"
    undo(dataset)
    assert find_cached(settings("flowers@4")) is not None  # the same images as version 2


def test_a_folder_of_the_same_name_comes_first_unless_a_version_is_named(tmp_path):
    dataset = flowers()
    in_folder(tmp_path / dataset, files_of("x", "y"))
    assert load_dataset(settings(dataset), 0).info.classes == ("x", "y")
    assert load_dataset(settings(f"{dataset}@2"), 0).info.classes == ("rose", "tulip")
    assert RunStore().create(build_settings("quick", dataset)).settings().data.dataset == str(tmp_path / dataset)


@pytest.mark.parametrize("given", ["pets", "./pets/", "../{0.name}/pets", "~/pets"])
def test_a_run_keeps_the_absolute_path_of_its_images(given, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = in_folder(tmp_path / "pets", files_of("x", "y"))
    run = RunStore().create(build_settings("quick", given.format(tmp_path)))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert run.settings().data.dataset == str(folder) and run.dataset == "pets"
    assert load_dataset(run.settings().data, 0).info.classes == ("x", "y")


def test_a_run_keeps_a_path_that_does_not_exist_as_it_is():
    assert RunStore().create(build_settings("quick", "imported/pets")).settings().data.dataset == "imported/pets"


def test_images_of_a_run_outlast_the_dataset():
    dataset = flowers()
    loaded = load_dataset(settings(f"{dataset}@2"), 0)
    remove_dataset(dataset)
    assert find_own(loaded.info) is not None
    assert same(loaded, load_dataset(settings(f"{dataset}@2"), 0, own=loaded.info))
    with pytest.raises(DatasetError, match="It was removed; restore it on the Data page"):
        refuse_if_missing(settings(f"{dataset}@2"))
    assert dataset_title("flowers@2") == "flowers@2"


def tiny_run(dataset):
    return RunStore().create(build_settings("quick", dataset, TINY | {"training.epochs": 3, "training.batch_size": 4}))


def test_a_training_outlasts_its_dataset_and_can_be_resumed_without_it():
    dataset, stop = flowers(count=10), Stop()
    run = tiny_run(dataset)

    def on_progress(status):
        if status.epoch == 1 and dataset_ids():
            remove_dataset(dataset)
        if status.epoch == 2:
            stop.set()

    assert run_training(run, stop, on_progress=on_progress).state == "stopped", run.log_tail()
    assert dataset_ids() == []
    prepare_resume(run)
    assert run_training(run, Stop()).state == "finished", run.log_tail()


def test_a_training_whose_dataset_is_removed_while_it_is_decoded_says_so(monkeypatch):
    monkeypatch.setattr(batches, "FILE_BATCH", 2)
    dataset = flowers(count=10)
    run = tiny_run(dataset)

    def on_progress(status):
        if status.activity.startswith("Decoding") and dataset_ids():
            remove_dataset(dataset)

    status = run_training(run, Stop(), on_progress=on_progress)
    assert status.state == "failed" and status.error_kind == "data"
    assert status.error == "There is no dataset 'flowers@2'. It was removed; restore it on the Data page."
    restore_dataset(dataset)
    assert len(load_dataset(settings("flowers@2"), 0).test) == 4


def test_a_version_that_is_deleted_while_it_is_decoded_is_not_cached_in_part(monkeypatch):
    monkeypatch.setattr(batches, "FILE_BATCH", 2)
    dataset, files = flowers(count=10), files_of("rose", "tulip", count=10)
    keys = [key for key, image in open_version(dataset).ordered if image.name > "4.png"]
    edits.remove_images(dataset, keys)

    def progress(text, share):
        if text.startswith("Decoding"):
            delete_older_versions(dataset, set)

    with pytest.raises(DatasetError, match="There is no dataset 'flowers@2'"):
        load_dataset(settings(f"{dataset}@2"), 0, progress)
    add_files(dataset, files)
    loaded = load_dataset(settings(dataset), 0)
    assert len(loaded.train) + len(loaded.validation) + len(loaded.test) == 20


def test_what_a_dataset_needs_before_a_training_is_said():
    dataset = create_dataset("Birds").dataset
    assert missing_of(open_version(dataset)) == "“Birds” has 0 classes. A network needs at least two to tell apart."
    add_files(dataset, files_of("ant", "bee"))
    edits.add_class(dataset, "cat")
    assert "The class “cat” of “Birds” has no images" in missing_of(open_version(dataset))
    add_files(dataset, [("cat/1.png", png(99))])
    assert "“cat” of “Birds” has one image" in missing_of(open_version(dataset))
    with pytest.raises(DatasetError, match="has one image"):
        load_dataset(settings(dataset), 0)
    add_files(dataset, [("cat/2.png", png(98))])
    assert missing_of(open_version(dataset)) == ""


def test_a_lost_file_is_skipped_and_named():
    dataset = flowers()
    version = open_version(dataset)
    version.path(version.ordered[1][1]).unlink()
    loaded = load_dataset(settings(dataset), 0)
    assert len(loaded.train) + len(loaded.validation) + len(loaded.test) == 7
    assert "rose/1.png" in loaded.note
    version.path(version.ordered[1][1]).write_bytes(files_of("rose")[1][1])
    assert load_dataset(settings(dataset), 0).note == ""


def test_images_for_validation_are_held_out_whatever_the_seed():
    files = [(f"train/{path}", data) for path, data in files_of("a", "b", count=10)]
    files += [(f"val/{path}", data) for path, data in files_of("a", "b", count=3, first=50)]
    dataset = create_dataset("Parts").dataset
    add_files(dataset, files)
    assert (
        scan(settings(dataset)).sentence
        == "26 images in 2 classes: 16 for training, 6 for validation, 4 held out for the test"
    )
    first, other = (load_dataset(settings(dataset), seed) for seed in (0, 1))
    assert same(first, other) and first.info.held == 6
    assert sorted(first.validation.images[:, 0, 0, 0].tolist()) == [50, 51, 52, 53, 54, 55]
    assert not set(first.train.images[:, 0, 0, 0].tolist()) & set(range(50, 56))
    assert torch.equal(load_validation_split(settings(dataset), 7).images, first.validation.images)
    sample = load_training_sample(settings(dataset), 7, 100)
    assert torch.equal(sample.images, first.train.images)
    everything = load_dataset(settings(dataset).model_copy(update={"validation_share": 0.0}), 0)
    assert len(everything.train) == 22 and everything.validation is everything.test


def test_a_class_with_images_for_validation_only_needs_some_for_training():
    dataset = flowers(count=4)
    version = open_version(dataset)
    roses = {key: "validation" for key, image in version.ordered if version.contents.classes[image.label] == "rose"}
    assert "“rose” of “Flowers” has images for validation and the test only" in missing_of(
        edits.assign_splits(dataset, roses, "Split")
    )
