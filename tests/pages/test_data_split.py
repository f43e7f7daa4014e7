"""The view Split of the Data page: which images are for training, for validation and for the test."""

import shutil

import pytest

from expertnet.data.datasets import load_decoded
from expertnet.data.own.datasets import create_dataset
from expertnet.data.own.folders import home
from expertnet.data.own.intake import add_files
from expertnet.data.own.versions import open_version
from expertnet.settings.schema import DataSettings
from expertnet.utils.progress import never, silent
from tests.support.opening import opened, pressed
from tests.support.own import files_of, flowers
from tests.support.photos import encoded, photo
from tests.support.settling import settled
from tests.support.settling import shown_text as said

pytestmark = pytest.mark.usefixtures("own_data")


def test_the_split_is_shown_and_chosen_anew():
    dataset = create_dataset("Flowers").dataset
    add_files(
        dataset,
        [
            (f"{name}/{seed}.png", encoded(photo(seed + first)))
            for first, name in enumerate(("rose", "tulip"))
            for seed in range(0, 20, 2)
        ],
    )
    test = opened("data", dataset=dataset, view="Split")
    assert "Each run draws the test images, a fifth of each class" in said(test)
    drawn = load_decoded(DataSettings(dataset="flowers@2"), silent, never, None)[1]
    assert drawn.test.labels.bincount().tolist() == [2, 2]
    assert [list(row) for row in test.dataframe[0].value.to_numpy()] == [["rose", 8, 0, 2], ["tulip", 8, 0, 2]]
    test.number_input(key="test share").set_value(90)
    settled(pressed(test, "Split again"))
    assert "both together less than 1" in said(test) and open_version(dataset).number == 2
    test.number_input(key="test share").set_value(30)
    settled(pressed(test, "Split again"))
    assert "Every run uses these sets." in said(test)
    assert [list(row) for row in test.dataframe[0].value.to_numpy()] == [["rose", 6, 1, 3], ["tulip", 6, 1, 3]]
    pressed(test, "Undo")
    assert "Each run draws" in said(test)


def test_what_a_run_draws_is_a_whole_sentence():
    dataset = create_dataset("Flowers").dataset
    parts = (("train", 10), ("validation", 20))
    add_files(dataset, [(f"{part}/{path}", data) for part, first in parts for path, data in files_of("a", first=first)])
    sentence = "Each run draws the test images, a fifth of each class that is always the same."
    assert sentence in said(opened("data", dataset=dataset, view="Split"))


def test_a_dataset_that_is_made_again_is_not_divided_because_the_one_before_was():
    test = opened("data", dataset=flowers(), view="Split")
    test.number_input(key="test share").set_value(90)
    settled(pressed(test, "Split again"))
    assert "both together less than 1" in said(test)
    shutil.rmtree(home() / "flowers")  # by hand; the studio gives no id twice
    assert flowers() == "flowers"
    settled(test.run())
    assert "both together less than 1" not in said(test) and "Each run draws" in said(test)


def test_a_class_that_a_set_lacks_is_named():
    dataset = create_dataset("Flowers").dataset
    files = [(f"{part}/{path}", data) for part in ("train", "test") for path, data in files_of("rose", first=len(part))]
    add_files(dataset, [*files, *((f"train/{path}", data) for path, data in files_of("<b>", first=90))])
    test = opened("data", dataset=dataset, view="Split")
    assert "The test set has no images of “\\<b\\>”. Add images, or split again." in [
        each.value for each in test.warning
    ]
