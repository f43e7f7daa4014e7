"""Names in a dataset of yours: numbers for those that are taken, and work that grows with the images and not with their square."""

import pytest

from expertnet.data.own.contents import Contents
from expertnet.data.own.intake import add_arrived
from expertnet.data.own.names import LONGEST, Taken, checked_name, usable_name
from expertnet.data.own.uploads import Arrived


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Corrections of a\\b/c", "Corrections of a-b-c"),
        (" . gone\u200c\u202e\n here ", "gone here"),
        ("e\u200c\u0301", "é"),
        ("a" * 200, "a" * (LONGEST - 1) + "…"),
        ("Flowers, version 3", "Flowers, version 3"),
    ],
)
def test_a_usable_name_is_like_the_text_and_is_accepted(text, name):
    assert usable_name(text) == name == checked_name(usable_name(text), "name")


def test_names_that_are_taken_get_numbers():
    taken = Taken()
    taken.names |= {"1.jpg", "1 (3).jpg"}
    assert [taken.take("1.jpg") for _ in range(3)] == ["1 (2).jpg", "1 (4).jpg", "1 (5).jpg"]
    assert [taken.take(name) for name in ("2.jpg", "1 (2).jpg", "2.jpg")] == ["2.jpg", "1 (2) (2).jpg", "2 (2).jpg"]


def test_many_images_of_one_name_take_a_look_each():
    looks = 0

    class Names(set):
        def __contains__(self, name):
            nonlocal looks
            looks += 1
            return super().__contains__(name)

    taken = Taken()
    taken.names = Names()
    assert [taken.take("image.png") for _ in range(500)][-1] == "image (500).png"
    assert looks < 3 * 500


def test_many_classes_are_compared_once_each():
    folded = 0

    class Name(str):
        def casefold(self):
            nonlocal folded
            folded += 1
            return super().casefold()

    contents = Contents(classes={f"{number}": Name(f"Class {number}") for number in range(100)})
    image = {"label": "", "name": "1.png", "size": 1, "width": 1, "height": 1}
    files = [
        {"path": "", "class": f"class {number}", "image": image | {"digest": f"{number}"}} for number in range(200)
    ]
    joined = {}
    assert len(list(add_arrived(contents, Arrived(files), joined, []))) == 200 == len(contents.classes)
    assert joined == {f"class {number}": f"Class {number}" for number in range(100)}
    assert folded == 100
