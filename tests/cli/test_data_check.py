"""`expertnet data check`."""

import pytest

from expertnet.data.own.edits import rename_dataset
from tests.support.command import command, document, refused
from tests.support.photos import encoded, photo, write


@pytest.fixture
def own(tmp_path):
    files = {f"{name}/{seed}.png": encoded(photo(seed + 10 * (name == "b"))) for name in "ab" for seed in range(5)}
    return write(tmp_path / "own", files | {"b/copy.png": encoded(photo(0)), "b/broken.png": encoded(photo(1))[:400]})


def test_it_prints_what_is_wrong(own):
    text = command("data", "check", own).stdout
    assert "own: 11 images in 2 classes." in text
    assert "Files that cannot be used:\n  b/broken.png: The image is damaged" in text
    assert "Duplicates:\n" in text and "a/0.png" in text


def test_its_document_has_a_key_for_each_problem(own):
    found = document("data", "check", own)
    assert list(found) == [
        *("dataset", "images", "classes", "imbalance", "unreadable", "duplicates"),
        *("dark", "bright", "blurred", "plain", "odd_size", "odd_shape", "wrong_labels"),
    ]
    assert [item["file"] for item in found["unreadable"]] == ["b/broken.png"]
    assert document("data", "check", own, "--distance", 0)["duplicates"] == found["duplicates"]


def test_wrong_words_are_refused(own):
    assert "no folder or archive" in refused(command("data", "check", own / "none"))
    assert "less than or equal to 16" in refused(command("data", "check", own, "--distance", 17))


def test_a_dataset_of_ones_own_is_checked_by_name_and_split(own):
    command("data", "add", "mine", own)
    assert document("data", "check", "mine")["images"] == 11
    found = document("data", "split", "mine", "--test", 0.3)
    assert found["dataset"].startswith("mine@") and found["train"] + found["validation"] + found["test"] == 11
    assert found["validation"] > 0
    rename_dataset("mine", "Ours")
    again = command("data", "split", "mine", "--test", 0.3).stdout
    assert again == "mine@4: The sets stay as they are.\n"
    assert document("data", "check", "mine", "--distance", 0)["duplicates"][0]["across_sets"] is False
    assert "built-in dataset" in refused(command("data", "split", "digits"))


def test_a_class_whose_images_are_all_near_duplicates_is_named(tmp_path):
    files = {f"a/{seed}.png": encoded(photo(seed)) for seed in range(9)}
    files |= {f"b/{quality}.jpg": encoded(photo(9), "JPEG", quality=quality) for quality in range(80, 89)}
    command("data", "add", "alike", write(tmp_path / "alike", files))
    assert "The test set has no images of “b”." in command("data", "split", "alike", "--validation", 0).stderr
