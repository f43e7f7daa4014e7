"""Files that are added to a dataset are on the disk before anything else happens, and bad ones are named."""

import io
import json
import os
import shutil
import subprocess

import pytest
from PIL import Image

from expertnet.data.own.datasets import create_dataset
from expertnet.data.own.edits import add_class, class_named, remove_class, rename_class
from expertnet.data.own.files import read_thumb
from expertnet.data.own.folders import home
from expertnet.data.own.intake import add_files, files_at, finish, stage
from expertnet.data.own.uploads import begin_upload
from expertnet.data.own.versions import history, open_version
from expertnet.errors import DatasetError
from tests.support.own import files_of, flowers, png
from tests.support.uploads import archive_of


@pytest.fixture
def dataset():
    return create_dataset("Flowers").dataset


def saved(image_format, size=(8, 8), **options):
    file = io.BytesIO()
    Image.new("RGB", size, "red").save(file, image_format, **options)
    return file.getvalue()


def animated():
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "blue")]
    file = io.BytesIO()
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
    return file.getvalue()


def test_files_go_to_the_class_of_their_folder():
    dataset = flowers()
    version = open_version(dataset)
    image = version.ordered[0][1]
    assert (image.name, image.width, image.height, image.size) == ("0.png", 8, 8, len(png(0)))
    assert version.path(image).read_bytes() == png(0)
    with Image.open(io.BytesIO(read_thumb(version, image))) as thumb:
        assert thumb.format == "JPEG" and thumb.size == (96, 96)


def test_a_missing_thumb_is_made_again(dataset):
    version = add_files(dataset, [("a/1.png", png(1))]).version
    image = version.ordered[0][1]
    before = read_thumb(version, image)
    (version.folder / "thumbs" / image.digest[:2] / image.digest).unlink()
    assert read_thumb(version, image) == before
    version.path(image).unlink()
    (version.folder / "thumbs" / image.digest[:2] / image.digest).unlink()
    assert read_thumb(version, image) == b"" == version.read(image)


def test_files_go_to_a_chosen_class(dataset):
    add_class(dataset, "rose")
    label = class_named(open_version(dataset).contents, "rose")
    added = add_files(dataset, [("1.png", png(1)), ("other/2.png", png(2))], label)
    assert added.added == 2 and added.version.contents.counts() == {label: 2}
    assert added.version.what == "2 images added to “rose”"
    remove_class(dataset, label)
    with pytest.raises(DatasetError, match="removed in the meantime"):
        add_files(dataset, [("1.png", png(1))], label)


def test_an_image_is_once_in_a_class_and_may_be_in_two(dataset):
    added = add_files(dataset, [("a/1.png", png(1)), ("a/2.png", png(1)), ("b/1.png", png(1))])
    assert (added.added, added.present) == (2, 1)
    assert added.sentence == "2 images added. 1 was there already."
    again = add_files(dataset, [("a/1.png", png(1))])
    assert again.sentence == "0 images added. 1 was there already." and again.version.number == 2


def test_names_in_a_class_differ(dataset):
    add_files(dataset, [("b/x/a/1.png", png(1)), ("a/1.png", png(2))])
    assert {image.name for _, image in open_version(dataset).ordered} == {"1.png", "1 (2).png"}


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("a/photo", "photo.jpg"),
        ("a/photo.avif", "photo.avif.jpg"),
        ("a/photo.heic", "photo.heic"),
        ("a/.JPG.jpeg", ""),
        ("a/b\u202e.jpg", "b.jpg"),
        ("a/b\u200bc.jpg", "b_c.jpg"),
        ("a/" + "x" * 200 + ".jpg", "x" * 80 + ".jpg"),
        ("a\\<b>.JPG", "<b>.JPG"),
    ],
)
def test_file_names_are_made_safe(dataset, path, name):
    add_files(dataset, [(path, saved("JPEG"))])
    assert [image.name for _, image in open_version(dataset).ordered] == ([name] if name else [])


def test_bad_files_are_named_with_a_reason_and_the_others_added(dataset):
    files = [
        ("a/good.png", png(1)),
        ("a/empty.png", b""),
        ("a/drawing.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
        ("a/notes.txt", b"hello"),
        ("a/cut.png", saved("JPEG", (64, 64))[:-300]),
        ("loose.png", png(2)),
        ("x" * 120 + "/1.png", png(3)),
        ("rose\u202e/1.png", png(3)),
        ("a/.DS_Store", b"x"),
        ("__MACOSX/a/1.png", b"x"),
    ]
    added = add_files(dataset, files)
    reasons = {path.rpartition("/")[2]: reason for path, reason in added.rejected if len(path) < 100}
    assert added.added == 1 and len(added.rejected) == 7
    assert "is empty" in reasons["empty.png"] and "damaged" in reasons["cut.png"]
    assert "supported format" in reasons["drawing.svg"] and "supported format" in reasons["notes.txt"]
    assert "no class folder" in reasons["loose.png"] and "invisible" in reasons["1.png"]
    assert "7 files could not be added. The first is a/empty.png" in added.sentence
    assert history(dataset)[-1].rejected == tuple(added.rejected)


@pytest.mark.parametrize("data", [saved("PNG", (1, 1)), saved("PNG", (30_000, 2)), animated()])
def test_odd_images_are_added(dataset, data):
    assert add_files(dataset, [("a/odd", data)]).added == 1


def test_images_go_to_a_class_that_was_renamed_while_they_arrived(dataset):
    label = class_named(add_class(dataset, "rosse").contents, "rosse")
    upload = begin_upload(dataset)
    stage(upload, [("0.png", png(0)), ("1.png", png(1))], label)
    rename_class(dataset, label, "rose")
    stage(upload, [("1.png", png(1)), ("2.png", png(2))], label)  # one was sent again, because the answer was lost
    added = finish(upload)
    assert added.sentence == "3 images added." and added.version.contents.classes == {label: "rose"}


def test_a_class_that_was_removed_while_its_images_arrived_is_back(dataset):
    label = class_named(add_class(dataset, "rosse").contents, "rosse")
    upload = begin_upload(dataset)
    stage(upload, [("0.png", png(0))], label)
    rename_class(dataset, label, "rose")
    stage(upload, [("1.png", png(1))], label)
    remove_class(dataset, label)
    added = finish(upload)
    assert added.sentence == (
        "2 images added. The class “rosse” was removed in the meantime. It is back with these images."
    )
    assert list(added.version.contents.classes.values()) == ["rosse"]


def test_what_older_versions_have_received_goes_to_the_class_by_its_name(dataset):
    label = class_named(add_class(dataset, "rose").contents, "rose")
    upload = begin_upload(dataset)
    stage(upload, [("0.png", png(0))], label)
    path = upload.folder / "arrived.jsonl"
    lines = [[without_label(file) for file in json.loads(line)] for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    added = finish(upload)
    assert added.added == 1 and added.version.contents.classes == {label: "rose"}


def without_label(file):
    return {key: value for key, value in file.items() if key != "label"}


def test_folders_that_differ_in_case_only_are_joined_and_it_is_said(dataset):
    added = add_files(dataset, [("Rose/1.png", png(1)), ("rose/2.png", png(2))])
    assert list(added.version.contents.classes.values()) == ["Rose"]
    assert added.sentence == "2 images added. “rose” joined the class “Rose”."


def test_folders_named_train_and_test_assign_the_images(dataset):
    files = [(f"all/{part}/a/{part}.png", png(number)) for number, part in enumerate(("train", "test", "val"))]
    add_files(dataset, files)
    splits = {image.name: image.split for _, image in open_version(dataset).ordered}
    assert splits == {"train.png": "train", "test.png": "test", "val.png": "validation"}


def test_images_beside_class_folders_are_rejected(dataset):
    paths = ("all/1.png", "all/train/a/3.png", "all/train/b/4.png", "all/test/a/5.png")
    added = add_files(dataset, [(path, png(number)) for number, path in enumerate(paths)])
    assert added.rejected == [("all/1.png", "It is in no class folder. Choose a class for it.")]
    assert set(added.version.contents.classes.values()) == {"a", "b"} and added.added == 3
    again = add_files(dataset, [("a/6.png", png(7)), ("a/more/7.png", png(8))])  # in a class that is there
    assert again.added == 2 and not again.rejected
    chosen = add_files(
        dataset, [("all/1.png", png(0)), ("all/c/6.png", png(6))], class_named(added.version.contents, "a")
    )
    assert chosen.added == 2 and not chosen.rejected
    alone = add_files(dataset, [("train/7.png", png(7)), ("ants/8.png", png(8)), ("ants/red/9.png", png(9))])
    assert set(alone.version.contents.classes.values()) == {"a", "b", "more", "train", "ants", "red"}


def test_an_archive_is_added(dataset, tmp_path):
    (tmp_path / "x.zip").write_bytes(archive_of("ant", "bee"))
    added = add_files(dataset, files_at(tmp_path / "x.zip"))
    assert (added.added, added.present) == (2, 4)  # three equal images in each class
    (tmp_path / "x.zip").write_bytes(archive_of("ant", "bee")[:200])
    with pytest.raises(DatasetError, match="damaged"):
        add_files(dataset, files_at(tmp_path / "x.zip"))


def test_what_has_arrived_waits_until_it_is_added(dataset):
    upload = begin_upload(dataset)
    stage(upload, files_of("a"))
    stage(upload, files_of("b", first=10))
    assert upload.arrived().paths == {path for path, _ in files_of("a", "b")} and open_version(dataset).number == 1
    assert finish(upload).version.what == "8 images added in 2 classes"
    assert not upload.arrived().paths and open_version(dataset).number == 2


def test_a_kill_between_the_version_and_the_end_of_the_upload_adds_nothing_twice(dataset):
    upload = begin_upload(dataset, "a")
    stage(upload, files_of("a"))
    shutil.copytree(upload.folder, home() / "copy")
    finish(upload)
    shutil.move(home() / "copy", upload.folder)
    assert finish(upload).sentence == "0 images added. 4 were there already."
    assert open_version(dataset).number == 2


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small disk")
def test_a_full_disk_is_said_and_nothing_is_lost(dataset):
    add_files(dataset, files_of("a"))
    small = home() / dataset / "images"
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32k", "tmpfs", small], check=True)
    try:
        noise = [(f"b/{number}.ppm", saved("PPM", (64, 64 + number))) for number in range(12)]
        with pytest.raises(DatasetError, match="The disk is full. Free some space"):
            add_files(dataset, noise)
        assert not list(small.rglob("*.tmp"))
    finally:
        subprocess.run(["umount", small], check=True)
    assert open_version(dataset).number == 2
    assert add_files(dataset, noise).added == 12
