"""What was uploaded: saved once, listed until it is deleted, and made a dataset of yours."""

import errno
import os
import zipfile

import pytest

from expertnet.data.custom import scan
from expertnet.data.own.datasets import create_dataset, remove_dataset
from expertnet.data.own.folders import dataset_ids, trashed_ids
from expertnet.data.own.layout import layout_of
from expertnet.data.own.log import FullDiskError
from expertnet.data.uploads import is_upload, keep_upload, list_uploads, remove_upload, save_folder, save_upload
from expertnet.errors import DatasetError
from tests.support.gray import settings
from tests.support.own import files_of, png
from tests.support.uploads import archive_of, packed


def listed():
    return [upload.path for upload in list_uploads() if not upload.dataset]


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


def test_uploads_are_listed_with_the_newest_first_until_they_are_deleted(root):
    assert list_uploads() == []
    first, second = save_upload("pets.zip", b"one"), save_folder("pets.zip", [("cat/1.png", b"two")])
    os.utime(first, (0, 86400))
    (root / "uploads" / ".left.tmp").touch()
    (first.parent / ".left.tmp").touch()
    assert listed() == [second, first]
    assert (list_uploads()[1].title, list_uploads()[1].time) == ("pets", "1970-01-02T00:00:00+00:00")
    same = save_upload("copy.zip", b"one")
    remove_upload(first)
    assert same.read_bytes() == b"one" and {*listed()} == {second, same}
    remove_upload(same)
    remove_upload(second)
    assert list_uploads() == [] and is_upload(str(first)) and not first.parent.exists()


def test_an_upload_becomes_a_dataset_with_the_same_images_and_is_listed_no_more(root):
    path = save_upload("pets.zip", packed(*((f"mine/{name}", data) for name, data in files_of("cat", "dog", count=10))))
    before = scan(settings(path))
    kept = keep_upload(path)
    assert kept.version.reference == "pets@2" and kept.sentence == "20 images added."
    after = scan(settings("pets"))
    assert (after.classes, after.counts, after.train, after.test) == (
        ("cat", "dog"),
        (10, 10),
        before.train,
        before.test,
    )
    assert path.is_file() and [upload.dataset for upload in list_uploads()] == ["pets"] and listed() == []
    remove_dataset("pets")
    assert listed() == [path]  # its images are still here
    assert keep_upload(path).version.contents.title == "pets"
    create_dataset("PETS 2")
    other = save_upload("pets.zip", packed(*files_of("cat", "dog", count=2)))
    assert keep_upload(other).version.contents.title == "pets 3"


def test_the_dataset_of_an_upload_has_its_test_images_and_no_files_that_training_skips(root):
    inside = [
        ("train/cat/1.png", 1),
        ("train/cat/2.png", 2),
        ("train/dog/1.png", 3),
        ("test/cat/1.png", 4),
        ("test/dog/1.png", 5),
    ]
    others = [("train/cat/more/3.png", png(6)), ("validation/cat/4.png", png(7)), ("train/cat/notes.txt", b"cat")]
    path = save_upload("pets.zip", packed(*((name, png(value)) for name, value in inside), *others))
    version = keep_upload(path).version
    found = {
        (part, version.contents.classes[image.label])
        for image in version.contents.images.values()
        for part in [image.split]
    }
    assert found == {("train", "cat"), ("train", "dog"), ("test", "cat"), ("test", "dog")}
    assert len(version.contents.images) == 5 and scan(settings(path)).test == scan(settings("pets")).test == 2


def test_a_folder_train_around_all_classes_is_no_part_of_the_dataset(root):
    path = save_upload("pets.zip", packed(*((f"train/{name}", data) for name, data in files_of("cat", "dog", count=5))))
    version = keep_upload(path).version
    assert {image.split for image in version.contents.images.values()} == {""}
    assert sum(part == "test" for part, _ in layout_of(version).images.values()) == 2


def test_an_upload_that_cannot_be_used_or_finds_no_room_makes_no_dataset(root, monkeypatch):
    alone = save_upload("alone.zip", archive_of("cat"))
    with pytest.raises(DatasetError, match="only one class, 'cat'"):
        keep_upload(alone)
    path = save_upload("pets.zip", archive_of("cat", "dog"))
    monkeypatch.setattr("expertnet.data.own.intake.SPARE", 2**62)
    with pytest.raises(FullDiskError, match="The disk is full"):
        keep_upload(path)
    assert dataset_ids() == trashed_ids() == [] and {*listed()} == {alone, path}
