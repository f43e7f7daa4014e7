"""`expertnet data`."""

import json
import re
import shutil

import pytest

from expertnet.data.own.datasets import create_dataset, undo
from expertnet.data.own.edits import rename_dataset
from tests.support.command import command, document, refused
from tests.support.own import files_of, png
from tests.support.uploads import archive_of

pytestmark = pytest.mark.usefixtures("own_data")


@pytest.fixture
def folder(tmp_path):
    for path, data in files_of("rose", "tulip"):
        (tmp_path / "pictures" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "pictures" / path).write_bytes(data)
    return tmp_path / "pictures"


def test_a_dataset_is_made_shown_listed_and_removed(folder, tmp_path):
    assert document("data", "add", "Flowers", folder) == {
        "dataset": "flowers@2",
        "added": 8,
        "present": 0,
        "rejected": [],
    }
    (tmp_path / "lily.png").write_bytes(png(99))
    done = command("data", "add", "flowers", tmp_path / "lily.png", "--class", "lily")
    assert done.stdout == "flowers@4: 1 image added.\n"
    row = document("data", "list")[0]
    assert (row["dataset"], row["version"], row["classes"], row["images"]) == ("flowers", 4, 3, 9)
    assert command("data", "list").stdout.splitlines()[1].split()[:4] == ["flowers", "@4", "3", "9"]
    shown = document("data", "show", "FLOWERS")
    assert shown["classes"] == {"lily": 1, "rose": 4, "tulip": 4}
    assert "has one image, which is too few" in shown["problem"]
    assert [each["what"] for each in shown["versions"]] == [
        "“Flowers” created",
        "8 images added in 2 classes",
        "Class “lily” added",
        "1 image added to “lily”",
    ]
    old = document("data", "show", "flowers@2")
    assert old["classes"] == {"rose": 4, "tulip": 4} and old["problem"] is None
    lines = command("data", "show", "flowers@2").stdout.splitlines()
    assert lines[1:5] == ["8 images in 2 classes", "  rose   4", "  tulip  4", "The classes are about equally large."]
    pruned = command("data", "prune", "Flowers").stdout
    assert pruned == "flowers@4 is the only version now. There was no space to free.\n"
    (tmp_path / "lily.png").write_bytes(png(98))
    command("data", "add", "flowers", tmp_path / "lily.png", "--class", "lily")
    undo("flowers")
    pruned = command("data", "prune", "Flowers").stdout
    assert re.fullmatch(r"flowers@6 is the only version now\. \d+ bytes are free again\.\n", pruned)
    assert "--restore" in command("data", "remove", "Flowers").stdout
    assert document("data", "list")[0]["dataset"] == "digits"
    assert command("data", "remove", "flowers", "--restore").stdout == "Flowers is back.\n"
    command("data", "remove", "flowers")
    assert "cannot be used together" in refused(command("data", "remove", "flowers", "--restore", "--permanently"))
    said = refused(command("data", "remove", "Flowers", "--restore"))
    assert "There is no dataset 'Flowers' in the trash. Use the ID of one that is: flowers." in said
    assert command("data", "remove", "flowers", "--permanently").returncode == 0
    assert "no dataset" in refused(command("data", "remove", "flowers", "--restore"))


def test_files_that_are_no_images_are_named(folder):
    (folder / "rose" / "notes.txt").write_text("hello")
    done = command("data", "add", "flowers", folder)
    assert done.returncode == 1
    assert done.stdout == "flowers@2: 8 images added. 1 file could not be added.\n"  # and why is said once
    assert done.stderr.count("rose/notes.txt: The file is not an image in a supported format") == 1
    for path, _ in files_of("rose", "tulip"):
        (folder / path).write_bytes(b"")
    done = command("data", "add", "empty", folder)
    assert done.returncode == 2 and "so there is no dataset “empty”" in done.stderr
    assert "slash" in refused(command("data", "add", "bare", folder / "rose", "--class", "a/b"))
    assert [row["dataset"] for row in document("data", "list") if row["own"]] == ["flowers"]


def test_images_in_no_class_folder_are_added_with_a_class(folder):
    command("data", "add", "flowers", folder)
    loose, says = folder / "rose" / "0.png", "0.png: It is in no class folder. Add it with --class CLASS."
    done = command("data", "add", "flowers", loose)
    assert done.returncode == 2 and says in done.stderr.splitlines()
    assert command("data", "add", "flowers", loose, "--class", "tulip").stdout == "flowers@3: 1 image added.\n"


def test_what_is_named_like_a_built_in_dataset_is_not_taken_for_it(folder):
    assert "built-in dataset. Choose another name" in refused(command("data", "add", "digits", folder))
    create_dataset("digits")  # as the Data page allows
    for what in ("prune", "remove", "split"):
        said = refused(command("data", what, "digits", *(["--test", "0.3"] if what == "split" else [])))
        assert "digits is a built-in dataset, which cannot be changed. Yours of the same name is digits-2." in said
    assert "Name the folders" in refused(command("data", "add", "more"))


def test_images_beside_the_class_folders_of_an_archive_are_rejected(folder, tmp_path):
    (folder / "loose.png").write_bytes(png(99))
    archive = shutil.make_archive(str(tmp_path / "all"), "zip", tmp_path, "pictures")
    done = command("data", "add", "flowers", archive, folder, "--json")
    found = json.loads(done.stdout)
    assert done.returncode == 1 and (found["added"], found["present"]) == (8, 8)
    assert [each["file"] for each in found["rejected"]] == ["loose.png", "pictures/loose.png"]
    assert set(document("data", "show", "flowers")["classes"]) == {"rose", "tulip"}


def test_an_archive_is_added(tmp_path):
    (tmp_path / "ants.zip").write_bytes(archive_of("ant", "bee"))
    assert document("data", "add", "insects", tmp_path / "ants.zip")["added"] == 2


def test_mistakes_are_explained(folder, tmp_path):
    assert "There is no file or folder" in refused(command("data", "add", "x", tmp_path / "none"))
    assert "not on this computer" in refused(command("data", "show", "cifar10"))
    assert "no dataset 'birds'" in refused(command("data", "show", "birds"))
    assert "slash" in refused(command("data", "add", "a/b", folder))
    command("data", "add", "flowers", folder)
    assert "no version 9" in refused(command("data", "show", "flowers@9"))
    assert "is not a version" in refused(command("data", "show", "flowers@x"))
    assert "slash" in refused(command("data", "add", "flowers", folder, "--class", "a/b"))
    assert "See 'expertnet data --help'" in refused(command("data"))


def test_a_name_that_two_datasets_share_is_refused_with_their_ids(folder):
    first = create_dataset("flowers").dataset
    rename_dataset(first, "plants")
    second = create_dataset("flowers").dataset
    undo(first)
    assert f"{first}, {second}. Use one of these IDs." in refused(command("data", "add", "Flowers", folder))


def test_a_name_means_a_version_only_if_it_is_none_by_itself():
    create_dataset("me@home")
    assert document("data", "show", "me@home")["title"] == document("data", "show", "me@home@1")["title"] == "me@home"
    create_dataset("flowers")
    assert "'0' is not a version. Use a number, such as flowers@1." in refused(command("data", "show", "flowers@0"))
    assert "built-in dataset, which has no versions. Leave out @1." in refused(command("data", "show", "digits@1"))


def test_built_in_datasets_are_decoded_and_shown():
    assert "not on this computer" in refused(command("data", "show", "digits"))
    assert command("data", "add", "digits").stdout == "Digits is on this computer.\n"
    shown = document("data", "show", "digits")
    assert sum(shown["classes"].values()) == 1797 and shown["classes"]["0"] == 178
    assert next(row for row in document("data", "list") if row["dataset"] == "digits")["bytes"] > 5_000_000
