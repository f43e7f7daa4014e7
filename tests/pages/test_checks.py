"""The Check view of the Data page: what is wrong with a dataset, and mending it."""

import json

import pytest
from PIL import Image

from expertnet.curation.labels import Doubts, Suspect
from expertnet.data.own.datasets import create_dataset, undo
from expertnet.data.own.edits import class_named, remove_images
from expertnet.data.own.intake import add_files
from expertnet.data.own.versions import open_version
from expertnet.ui import tasks
from tests.support.opening import opened
from tests.support.photos import encoded, photo
from tests.support.small import until


@pytest.fixture
def test(tmp_path, monkeypatch):
    monkeypatch.setenv("EXPERTNET_DATA", str(tmp_path / "data"))
    files = {f"{name}/{seed}.png": encoded(photo(seed + 10 * (name == "b"))) for name in "ab" for seed in range(5)}
    files |= {
        "a/copy.png": encoded(photo(1), compress_level=1),
        "b/<b>copy.png": encoded(photo(0)),
        "b/dark.png": encoded(photo(20).point(lambda value: value // 10)),
        "b/lost.png": encoded(photo(21)),
        "b/notes.txt": b"no image",
    }
    version = add_files(create_dataset("Own").dataset, files.items()).version
    version.path(next(image for _, image in version.ordered if image.name == "lost.png")).unlink()
    test = opened("data", dataset="own", view="Check")
    drawn(test)
    return test


def drawn(test):
    until(lambda: not test.run().get("progress"))
    assert not test.exception, [error.value for error in test.exception]
    return test


def choose(test, view):
    test.segmented_control(key="check").set_value(view)
    return drawn(test)


def text(test):
    return " ".join(item.value for kind in ("markdown", "caption") for item in test.get(kind))


def groups(test):
    """The groups that are shown: their headings, and the captions of their images by id."""
    (grid,) = [json.loads(each.proto.json) for each in test.get("bidi_component") if '"groups"' in each.proto.json]
    return [
        (heading, dict(zip(keys, (caption for _, caption, _ in tiles), strict=True)))
        for heading, tiles, keys in grid["groups"]
    ]


def press(test, label):
    (button,) = [each for each in test.button if each.label == label]
    button.click().run()
    return drawn(test)


def test_duplicates_are_shown_side_by_side_and_copies_removed(test):
    assert "4 images look like others, in 2 groups, 2 of them with the same pixels." in text(test)
    headings, captions = zip(*groups(test), strict=True)
    assert sorted("several classes" in heading for heading in headings) == [False, True]
    shown = sorted(caption.splitlines()[0] for group in captions for caption in group.values())
    assert shown == ["0.png", "1.png", "<b>copy.png", "copy.png"]
    press(test, "Remove 1 copy")
    assert len(open_version("own").contents.images) == 13 and "Version 2 was checked" in text(test)
    assert "2 images look like others, in 1 group" in text(test) and len(groups(test)) == 1
    undo("own")
    assert len(groups(drawn(test))) == 2
    add_files("own", [("a/new.png", encoded(photo(0), compress_level=2))])
    assert "5 images look like others, in 2 groups" in text(drawn(test)) and "was checked" not in text(test)


def test_selected_images_are_moved_or_removed_and_then_left_out(test):
    ((dark, _),) = groups(choose(test, "images"))[0][1].items()
    test.session_state["grid Suspect images own"] = {"selected": [dark]}
    drawn(test)
    assert "1 selected" in text(test)
    press(test, "Move")
    contents = open_version("own").contents
    assert contents.images[dark].label == class_named(contents, "a")
    assert "No image is dark" in text(test)
    key = next(iter(groups(choose(test, "duplicates"))[0][1]))
    test.session_state["grid Duplicates own"] = {"selected": [key]}
    press(drawn(test), "Remove")
    assert key not in open_version("own").contents.images and len(groups(test)) == 1


def test_an_image_with_two_faults_is_one_suspect_image(test):
    add_files("own", [("a/black.png", encoded(Image.new("RGB", (64, 64))))])
    press(drawn(test), "Check again")
    assert "Suspect images (2)" in test.segmented_control(key="check").options
    shown = [
        sorted(caption.splitlines()[0] for caption in group.values()) for _, group in groups(choose(test, "images"))
    ]
    assert sorted(shown) == [["black.png"], ["black.png", "dark.png"]]


def test_a_suggested_class_is_taken_at_a_press(test):
    version = open_version("own")
    survey = tasks.find(("survey", version.key)).result.survey
    row = survey.images.index[survey.images["name"] == "b/2.png"][0]
    doubts = Doubts((Suspect(row, 1, 0, 0.9, 0.1),), 0.8)
    tasks.start(("labels", survey), lambda progress, cancelled: doubts).join()
    ((key, caption),) = groups(choose(test, "labels"))[0][1].items()
    assert caption == "2.png\nb → a\n90.0% sure"
    test.session_state["grid Wrong labels own"] = {"selected": [key]}
    press(drawn(test), "Use the suggested class")
    contents = open_version("own").contents
    assert contents.images[key].label == class_named(contents, "a") and contents.images[key].name == "2 (2).png"
    assert "No label seems wrong" in text(test)


def test_every_view_shows_what_is_wrong_and_it_can_be_checked_again(test):
    assert "**Dark**: 1 image" in text(choose(test, "images"))
    assert "Training skips 1 file" in text(choose(test, "files"))
    assert test.dataframe[0].value["reason"].tolist() == [
        "The file is lost. Remove the image, and add it again if you still have it."
    ]
    assert "1 file could not be added" in text(test) and test.dataframe[1].value["File"].tolist() == ["b/notes.txt"]
    assert "Each class has" in text(choose(test, "classes"))
    assert test.dataframe[0].value["class"].tolist() == ["a", "b"]
    test.text_input(key=f"class name {class_named(open_version('own').contents, 'a')} 2").set_value("<b>ant")
    (rename,) = [each for each in test.button if each.label == "Rename" and "class" in each.key]
    rename.click().run()
    assert "Version 2 was checked" in text(drawn(test)) and test.dataframe[0].value["class"].tolist() == ["<b>ant", "b"]
    assert any(
        "<b>ant · train" in caption for _, tiles in groups(choose(test, "duplicates")) for caption in tiles.values()
    )
    undo("own")
    choose(test, "labels")
    assert [button.label for button in test.button if button.label.startswith("Look")] == ["Look for wrong labels"]
    version = open_version("own")
    remove_images("own", [key for key, image in version.contents.images.items() if image.name == "lost.png"])
    press(test, "Check again")
    assert "Version 2 was checked" not in text(test)
    assert "Every file of the dataset is an image" in text(choose(test, "files"))
    assert test.dataframe[0].value["File"].tolist() == ["b/notes.txt"]
