"""Names with invisible or broken characters: every image is read, and different names are shown differently."""

import os

import pytest

from expertnet.data.archives import entries
from expertnet.data.custom import scan
from expertnet.data.own.datasets import create_dataset
from expertnet.data.own.intake import add_files, files_at
from expertnet.data.own.pieces import pieces_of
from expertnet.data.shown import Shown
from tests.support.class_files import class_files, png, write
from tests.support.gray import settings
from tests.support.own import framed

PERSIAN, JAPANESE = "می\u200cخواهم", "赤\u3000りんご"
GIVEN = (PERSIAN, JAPANESE, "ice\u00a0cream", "tea\u200b1", "tea\u200e1")
CLASSES = ("ice cream", "tea?1", "tea?1 (2)", PERSIAN, "赤 りんご")
KINDS = ("folder", "a.zip", "a.tar")


def total(data):
    return len(data.train) + len(data.test)


@pytest.mark.parametrize("kind", KINDS)
def test_class_folders_of_any_name_are_classes(kind, tmp_path, load):
    path = write(tmp_path / kind, class_files(GIVEN))
    loaded = load(path)
    assert loaded.info.classes == scan(settings(path)).classes == CLASSES
    assert total(loaded) == 25 and loaded.note == ""


@pytest.mark.parametrize("kind", KINDS)
def test_names_that_are_not_text_stay_different(kind, tmp_path, load):
    names = [chr(1 + number) if kind == "a.zip" else os.fsdecode(bytes([255 - number])) for number in range(4)]
    files = {f"cat/{name}.png": png(number) for number, name in enumerate(names)}
    path = write(tmp_path / kind, class_files(("dog", "eel")) | files)
    loaded = load(path)
    assert total(loaded) == 14 and loaded.note == ""
    assert sum(entry.path.startswith("cat/?") for entry in entries(path)) == 4


@pytest.mark.parametrize("kind", KINDS)
def test_a_dataset_of_yours_takes_such_names(kind, tmp_path, own_data):
    path = write(tmp_path / kind, class_files((PERSIAN, JAPANESE, "ice\u00a0cream")))
    added = add_files(create_dataset("Names").dataset, files_at(path))
    assert added.added == 15 and not added.rejected
    assert {*added.version.contents.classes.values()} == {"ice cream", PERSIAN, "赤 りんご"}


def test_an_uploaded_file_keeps_such_a_name():
    (piece,) = pieces_of(framed(f"{JAPANESE}/{PERSIAN}\u202f1\ud800.png", png()))
    assert piece.path == f"赤 りんご/{PERSIAN} 1?.png"


def test_a_new_image_in_such_a_folder_is_counted(tmp_path):
    folder = write(tmp_path / "folder", class_files((PERSIAN, JAPANESE)))
    assert scan(settings(folder)).train == 8
    for number in (7, 8):
        (folder / JAPANESE / f"{number}.png").write_bytes(png(number))
    assert scan(settings(folder)).train + scan(settings(folder)).test == 12


def test_the_path_of_a_file_with_a_special_space_is_what_it_was(tmp_path):
    """Or the test set of its folder would change."""
    folder = write(tmp_path / "folder", {"cat/3.14\u202fPM.png": png()})
    assert [entry.path for entry in entries(folder)] == ["cat", "cat/3.14?PM.png"]


def test_a_path_is_shown_like_no_other_and_always_the_same():
    shown, paths = (
        Shown(),
        ["a\u00a0b/1.png", "a b/1.png", "a b (2)/1.png", "a\u2003b/1.png", "a b/\x01.png", "a b/\x02.png"],
    )
    expected = [
        "a b/1.png",
        "a b (2)/1.png",
        "a b (2) (2)/1.png",
        "a b (3)/1.png",
        "a b (2)/?.png",
        "a b (2)/? (2).png",
    ]
    for _ in range(2):
        assert [shown.path(path, is_folder=False) for path in paths] == expected
    assert shown.path("a b/\x03.v2", is_folder=True) == "a b (2)/?.v2"
    assert shown.path("a b/\x04.v2", is_folder=True) == "a b (2)/?.v2 (2)"
