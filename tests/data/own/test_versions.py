"""Datasets of your own: every change makes a version, can be undone, and survives a kill."""

import random
import threading
from collections import Counter

import pytest

from expertnet.data.own import edits
from expertnet.data.own.contents import Contents, OwnImage, difference
from expertnet.data.own.datasets import can_redo, can_undo, create_dataset, edit, redo, restore_version, undo
from expertnet.data.own.edits import class_named
from expertnet.data.own.intake import add_files
from expertnet.data.own.versions import find_version, history, open_version
from expertnet.errors import DatasetError
from tests.support.own import files_of, flowers, png


def named_counts(version):
    contents = version.contents
    return {name: contents.counts()[label] for label, name in contents.classes.items()}


def keys_of(dataset, name):
    contents = open_version(dataset).contents
    label = class_named(contents, name)
    return [key for key, image in contents.images.items() if image.label == label]


def label(dataset, name):
    return class_named(open_version(dataset).contents, name)


def test_a_class_is_found_by_its_name_whatever_its_case_and_spaces():
    dataset = flowers()
    assert edits.class_id(dataset, " ROSE\n") == label(dataset, "rose")
    assert edits.class_id(dataset, "big  lily ") == label(dataset, "big lily")
    with pytest.raises(DatasetError, match="has no class “a b\\?c”"):
        label(dataset, "a\nb\x1bc")


def test_a_dataset_begins_empty_and_grows_by_versions():
    version = create_dataset("Blümen  2")
    assert (version.dataset, version.number, version.contents.title) == ("blumen-2", 1, "Blümen 2")
    add_files("blumen-2", files_of("rose", "tulip"))
    now = open_version("blumen-2")
    assert now.reference == "blumen-2@2" and named_counts(now) == {"rose": 4, "tulip": 4}
    assert [change.what for change in history("blumen-2")] == ["“Blümen 2” created", "8 images added in 2 classes"]
    assert open_version("blumen-2", 1).contents.images == {}
    assert now.read(now.ordered[0][1]) == png(0)


def test_each_change_says_what_differs_and_is_undone():
    dataset = flowers()
    rose, tulip = label(dataset, "rose"), label(dataset, "tulip")
    key = keys_of(dataset, "rose")[0]
    changes = [
        (lambda: edits.add_class(dataset, "lily"), "Class “lily” added"),
        (lambda: edits.rename_class(dataset, rose, "Rose"), "Class “rose” renamed to “Rose”"),
        (lambda: edits.move_images(dataset, [key], tulip), "1 image moved from “Rose” to “tulip”"),
        (lambda: edits.rename_image(dataset, key, "best"), "Image “0 (2).png” renamed to “best.png”"),
        (lambda: edits.remove_images(dataset, [key]), "1 image removed from “tulip”"),
        (lambda: edits.remove_class(dataset, rose), "Class “Rose” removed with 3 images"),
        (lambda: edits.rename_dataset(dataset, "Plants"), "“Flowers” renamed to “Plants”"),
    ]
    before = [open_version(dataset).contents]
    for change, what in changes:
        assert change().what == what
        before.append(open_version(dataset).contents)
    assert open_version(dataset).contents.title == "Plants" and not keys_of(dataset, "tulip").count(key)
    for contents, (_, what) in zip(before[-2::-1], reversed(changes), strict=True):
        assert can_undo(dataset) == what and undo(dataset).contents == contents
    for contents, (_, what) in zip(before[1:], changes, strict=True):
        assert can_redo(dataset) == what and redo(dataset).contents == contents
    assert not can_redo(dataset)


def test_undo_and_redo_go_through_random_changes_like_a_list_of_states():
    seed = random.randrange(10**6)
    print("seed", seed)
    pick, dataset = random.Random(seed), create_dataset("Random").dataset
    states, at = [open_version(dataset).contents], 0
    for step in range(60):
        act = pick.choice(["undo", "redo", "add", "move", "remove", "restore"])
        contents = open_version(dataset).contents
        keys = pick.sample(sorted(contents.images), min(3, len(contents.images)))
        if act == "undo" and at:
            undo(dataset)
            at -= 1
        elif act == "redo" and at + 1 < len(states):
            redo(dataset)
            at += 1
        elif act not in ("undo", "redo"):
            if act == "add":
                add_files(dataset, [(f"{pick.choice('abc')}/{step}.png", png(step))])
            elif act == "move" and contents.classes:
                edits.move_images(dataset, keys, pick.choice(sorted(contents.classes)))
            elif act == "remove":
                edits.remove_images(dataset, keys)
            elif act == "restore":
                restore_version(dataset, pick.randint(1, open_version(dataset).number))
            if open_version(dataset).contents != states[at]:
                states = [*states[: at + 1], open_version(dataset).contents]
                at += 1
        assert open_version(dataset).contents == states[at]
    changes = history(dataset)
    assert [change.number for change in changes] == list(range(1, len(changes) + 1))


def test_nothing_to_undo_is_said():
    dataset = create_dataset("Empty").dataset
    with pytest.raises(DatasetError, match="no change to undo"):
        undo(dataset)
    with pytest.raises(DatasetError, match="no change to redo"):
        redo(dataset)


def test_a_change_that_changes_nothing_makes_no_version():
    dataset = flowers()
    edits.move_images(dataset, keys_of(dataset, "rose"), label(dataset, "rose"))
    edits.remove_images(dataset, ["gone"])
    assert open_version(dataset).number == 2


def test_a_moved_image_takes_a_free_name_and_is_not_twice_in_its_class():
    dataset = create_dataset("Doubles").dataset
    add_files(dataset, [("a/1.png", png(1)), ("b/1.png", png(2)), ("b/2.png", png(1))])
    edits.move_images(dataset, keys_of(dataset, "b"), label(dataset, "a"))
    version = open_version(dataset)
    assert sorted(image.name for image in version.contents.images.values()) == ["1 (2).png", "1.png"]
    assert version.what == "2 images moved from “b” to “a”, of which 1 was there already"
    assert undo(dataset).contents.counts().total() == 3
    version = edits.move_images(dataset, keys_of(dataset, "b")[1:], label(dataset, "a"))
    assert version.what == "1 image moved from “b” to “a”, where it was already"


def test_images_are_moved_to_the_class_of_each_in_one_version():
    dataset = flowers("rose", "tulip", "lily")
    rose, tulip = label(dataset, "rose"), label(dataset, "tulip")
    first, second, third = keys_of(dataset, "lily")[:3]
    version = edits.relabel(dataset, {first: rose, second: tulip, third: label(dataset, "lily"), "gone": rose})
    assert version.number == 3 and version.what == "2 images moved from “lily” to 2 classes"
    assert [version.contents.images[key].label for key in (first, second)] == [rose, tulip]


def test_two_tabs_change_a_dataset_at_once_and_no_change_is_lost():
    dataset = flowers(count=20)
    rose, tulip = keys_of(dataset, "rose"), keys_of(dataset, "tulip")
    targets = label(dataset, "tulip"), label(dataset, "rose")

    def move(keys, target):
        for key in keys:
            edits.move_images(dataset, [key], target)

    threads = [threading.Thread(target=move, args=pair) for pair in zip((rose, tulip), targets, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    version = open_version(dataset)
    assert version.number == 2 + 40 and named_counts(version) == {"rose": 20, "tulip": 20}
    assert {version.contents.images[key].label for key in rose} == {targets[0]}


def test_a_tab_that_shows_an_old_version_is_told():
    dataset = flowers()
    rose = label(dataset, "rose")
    key = keys_of(dataset, "rose")[0]
    edits.remove_class(dataset, rose)
    for change in (
        lambda: edits.rename_class(dataset, rose, "lily"),
        lambda: edits.remove_class(dataset, rose),
        lambda: edits.move_images(dataset, [key], rose),
        lambda: edits.rename_image(dataset, key, "x"),
    ):
        with pytest.raises(DatasetError, match="removed in the meantime. Reload the page"):
            change()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("  ", "is empty"),
        ("x" * 300, "has 300 characters. Use at most 100"),
        ("a/b", "slash"),
        ("a\\b", "slash"),
        ("..", "begins with a dot"),
        ("rose\u202egnp", "invisible characters"),
        ("rose\u200f", "invisible characters"),
        ("a\0b", "invisible characters"),
        ("rose\u200d", "invisible characters"),
        ("ROSE", "There is already a class “rose”, which differs in case only"),
        ("rose", "There is already a class “rose”. "),
    ],
)
def test_class_names_that_cannot_be_used(name, said):
    dataset = flowers()
    for change in (
        lambda: edits.add_class(dataset, name),
        lambda: edits.rename_class(dataset, label(dataset, "tulip"), name),
    ):
        with pytest.raises(DatasetError, match=said):
            change()
    assert open_version(dataset).number == 2


def test_a_class_may_have_any_other_name():
    dataset = flowers()
    for name in ("<script>alert(1)", "Ünïcode 花", "עברית", "$x$ *b*", "train", "test"):
        edits.add_class(dataset, name)
    edits.rename_class(dataset, label(dataset, "rose"), "Rose")  # its own name in another case
    assert "Rose" in open_version(dataset).contents.classes.values()


@pytest.mark.parametrize(
    "reference", ["../../etc", "flowers@0", "flowers@9", "Flowers", "", "flowers@2@3", "flowers@\u0663"]
)
def test_a_reference_to_no_version_finds_none(reference):
    flowers()
    assert find_version(reference) is None


def test_a_patch_turns_one_content_into_another():
    image = OwnImage("k", "1.png", "d", 9, 8, 8)
    before = Contents("A", {"k": "rose", "l": "lily"}, {"x": image, "y": image})
    after = Contents("B", {"k": "Rose", "m": "tulip"}, {"x": OwnImage("m", "1.png", "d", 9, 8, 8, "test"), "z": image})
    patch = difference(before, after)
    assert patch["images"]["x"] == {"label": "m", "split": "test"} and patch["images"]["y"] is None
    copy = before.copy()
    copy.apply(patch)
    assert copy == after and before.title == "A" and difference(after, after) == {}


def test_an_error_in_a_change_leaves_the_dataset_as_it_was():
    dataset = flowers()
    before = open_version(dataset).log.read_bytes()

    def change(contents):
        contents.images.clear()
        raise DatasetError("no")

    with pytest.raises(DatasetError):
        edit(dataset, change)
    assert open_version(dataset).log.read_bytes() == before
    assert Counter(named_counts(open_version(dataset)).values()) == {4: 2}
