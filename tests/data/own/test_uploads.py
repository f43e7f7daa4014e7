"""Uploads from several tabs keep out of one another's way, and what nobody needs is deleted."""

import os
import subprocess
import sys
import time

import pytest

from expertnet.data.own import datasets, edits
from expertnet.data.own.datasets import can_undo, create_dataset, undo
from expertnet.data.own.edits import remove_class, remove_images
from expertnet.data.own.folders import home
from expertnet.data.own.intake import add_files, finish, stage
from expertnet.data.own.pieces import receive
from expertnet.data.own.space import delete_older_versions, discard, older_size
from expertnet.data.own.uploads import UploadGoneError, begin_upload, uploads_of
from expertnet.data.own.versions import history, open_version
from expertnet.errors import DatasetError
from tests.support.own import files_of, framed, png

DAY = 24 * 3600


@pytest.fixture(autouse=True)
def dataset(tmp_path, monkeypatch):
    monkeypatch.setenv("EXPERTNET_DATA", str(tmp_path / "root"))
    return create_dataset("Flowers").dataset


def stored(dataset):
    """The number of image files on the disk."""
    return len(list((home() / dataset / "images").glob("*/*")))


def test_one_tab_adds_and_discards_only_its_own_upload(dataset):
    first, second = begin_upload(dataset, "first"), begin_upload(dataset, "second")
    stage(first, files_of("a"))
    stage(second, files_of("b", first=2))  # shares two images with the first
    discard(second)
    assert uploads_of(dataset) == [first] and stored(dataset) == 4
    assert finish(first).added == 4
    assert [image.name for _, image in open_version(dataset).ordered] == ["0.png", "1.png", "2.png", "3.png"]


def test_what_comes_after_an_upload_was_discarded_is_refused(dataset):
    upload = begin_upload(dataset)
    stage(upload, files_of("a"))
    discard(upload)
    for late in (lambda: stage(upload, files_of("a")), lambda: receive(upload, framed("a/1.png", png(1)))):
        with pytest.raises(UploadGoneError, match="Add the same files again"):
            late()
    with pytest.raises(UploadGoneError):
        finish(upload)
    assert add_files(dataset, files_of("a")).added == 4


def test_an_image_that_was_deleted_while_it_arrived_again_is_there(dataset):
    other, upload = begin_upload(dataset, "other"), begin_upload(dataset, "this")
    stage(other, files_of("a"))

    def files():
        yield from files_of("a")
        discard(other)  # after the files were found on the disk

    stage(upload, files())
    version = finish(upload).version
    assert all(version.read(image) for _, image in version.ordered)


def test_an_upload_is_under_way_until_it_rests_or_is_silent(dataset):
    upload = begin_upload(dataset)
    assert upload.under_way
    upload.rest()
    assert not upload.under_way
    stage(upload, files_of("a"))
    assert upload.under_way


def test_what_is_a_day_old_and_brought_nothing_is_deleted(dataset):
    empty, kept = begin_upload(dataset, "empty"), begin_upload(dataset, "kept")
    stage(kept, files_of("a"))
    receive(kept, framed("a/big.png", b"x" * 100, 0, 10))
    for upload in (empty, kept):
        upload.touch(2 * DAY)
    begin_upload(dataset, "new")
    assert not empty.folder.exists() and not kept.parts.exists() and uploads_of(dataset) == [kept]


def test_removing_images_frees_their_space_once_the_older_versions_are_deleted(dataset):
    version = add_files(dataset, files_of("a", "b")).version
    gone = [key for key, image in version.ordered if image.name == "0.png"]
    remove_images(dataset, gone)
    waits = begin_upload(dataset)
    stage(waits, files_of("c", first=90))
    size = sum(version.contents.images[key].size for key in gone)
    assert older_size(dataset) == size and stored(dataset) == 12
    assert delete_older_versions(dataset, set) > size  # with the small copies
    after = open_version(dataset)
    assert after.number == 3 and after.what == "2 images removed" and len(after.contents.images) == 6
    assert older_size(dataset) == 0 and stored(dataset) == 10  # with the four that wait
    assert all(after.read(image) for _, image in after.ordered)
    assert [change.number for change in history(dataset)] == [3] and not can_undo(dataset)
    with pytest.raises(DatasetError, match="no version 2"):
        open_version(dataset, 2)
    label, _ = sorted(after.contents.classes)
    remove_class(dataset, label)
    assert can_undo(dataset) and undo(dataset).number == 5 and finish(waits).added == 4


def test_an_undo_while_another_tab_deletes_the_older_versions_brings_no_image_without_its_file(dataset, monkeypatch):
    add_files(dataset, files_of("a"))
    edits.remove_images(dataset, list(open_version(dataset).contents.images))
    real = datasets.edit

    def late(*given, **options):
        delete_older_versions(dataset, set)
        return real(*given, **options)

    monkeypatch.setattr(datasets, "edit", late)
    with pytest.raises(DatasetError, match="has no version 2"):
        undo(dataset)
    assert not open_version(dataset).contents.images


def test_what_a_kill_left_of_files_is_deleted_after_a_day(dataset):
    version = add_files(dataset, files_of("a")).version
    image = version.path(version.ordered[0][1])
    old, new = image.parent.with_name(".old.1.tmp"), image.parent.with_name(".new.2.tmp")
    beside = image.with_name(".old.3.tmp")  # where earlier versions wrote it
    for path in (old, new, beside):
        path.write_bytes(b"x")
    for path in (old, beside):
        os.utime(path, (time.time() - 2 * DAY,) * 2)
    discard(begin_upload(dataset))
    assert [path.exists() for path in (old, new, beside)] == [False, True, False]
    assert version.read(version.ordered[0][1])


@pytest.mark.slow
def test_a_kill_while_a_file_is_written_leaves_it_where_it_is_swept(dataset):
    folder = home() / dataset
    program = "import os, sys; from pathlib import Path; from expertnet.data.own.files import write_once;"
    program += "os.replace = lambda *paths: os._exit(9); write_once(Path(sys.argv[1]), b'x' * 100)"
    done = subprocess.run([sys.executable, "-c", program, folder / "images" / "ab" / ("ab" * 32)])
    assert done.returncode == 9
    (left,) = folder.rglob("*.tmp")
    os.utime(left, (time.time() - 2 * DAY,) * 2)
    begin_upload(dataset)
    assert not left.exists()


def test_a_folder_that_a_kill_left_is_no_upload(dataset):
    upload = begin_upload(dataset)
    stage(upload, files_of("a"))
    os.rename(upload.folder, upload.folder.with_name(".half"))
    assert uploads_of(dataset) == []
    old = time.time() - 2 * DAY
    os.utime(upload.folder.with_name(".half"), (old, old))
    begin_upload(dataset)
    assert not upload.folder.with_name(".half").exists()
