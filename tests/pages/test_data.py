"""The Data page: every dataset, and making, changing and removing your own."""

import shutil

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from expertnet.data.cache import data_root
from expertnet.data.own.datasets import create_dataset, remove_dataset
from expertnet.data.own.edits import add_class, class_named, remove_images
from expertnet.data.own.folders import dataset_ids, trashed_ids
from expertnet.data.own.intake import add_files, stage
from expertnet.data.own.uploads import begin_upload, uploads_of
from expertnet.data.own.versions import history, open_version
from expertnet.ui import tasks
from expertnet.ui.auth.middleware import Gate
from expertnet.ui.data.tiles import class_cards, image_tiles
from tests.support.opening import opened, pressed, to_page
from tests.support.own import files_of, flowers, png
from tests.support.sending import send, through
from tests.support.small import until

pytestmark = pytest.mark.usefixtures("own_data")


def labels(test):
    return [button.label for button in test.button]


def said(test):
    return " ".join(
        each.value for kind in ("markdown", "caption", "error", "success", "warning") for each in test.get(kind)
    )


def test_a_built_in_dataset_is_shown_once_it_is_prepared():
    test = pressed(opened("data", dataset="digits"), "Prepare Digits")
    until(lambda: not tasks.find(("dataset", "digits")).running)
    assert "1,797 images in 10 classes" in said(test.run()) and "about equally large" in said(test)
    assert "178 images" in said(test) and "The images shown are the 36 test images." in said(test)  # of the digit 0
    assert "images digits 0" not in [box.key for box in test.selectbox]  # they are on one page
    shutil.rmtree(data_root() / "decoded")
    assert "about equally large" not in said(test.run())  # but the button is back
    assert "Prepare Digits" in [button.label for button in test.button]


def test_a_dataset_that_must_be_downloaded_has_a_button():
    labels = [button.label for button in opened("data", dataset="cifar10").button]
    assert "Download CIFAR-10 (170 MB)" in labels


def test_a_dataset_is_made_named_and_filled():
    test = opened("data", dataset="svhn")
    test.text_input(key="title 0").set_value("Flowers")
    pressed(test, "Create")
    assert dataset_ids() == ["flowers"] and "0 classes. A network needs at least two" in said(test)
    for name in ("rose", "tulip"):
        (field,) = [each for each in test.text_input if each.label == "New class"]
        field.set_value(name)
        pressed(test, "Add class")
        label = class_named(open_version("flowers").contents, name)
        with TestClient(Gate(Starlette()), "http://localhost") as client:
            send(through(client), f"flowers/{label}", [(f"{number}.png", png(number)) for number in range(3)], label)
        assert not test.run().exception and f"3 images added to “{name}”" in said(test)
    version = open_version("flowers")
    assert sorted(version.contents.classes.values()) == ["rose", "tulip"] and len(version.contents.images) == 6
    assert "A network needs" not in said(test)


def test_a_dataset_without_classes_offers_to_add_images_and_no_view_that_would_be_empty():
    dataset = create_dataset("Flowers").dataset
    for view in (None, "check"):
        test = opened("data", dataset=dataset, **({"view": view} if view else {}))
        assert test.segmented_control(key="view").options == ["Add", "Versions"] and not test.toast
        assert test.segmented_control(key="view").value == "Add"
    assert "Into one class" in test.segmented_control(key="add kind").options[0]
    test = opened("data", dataset=dataset, view="no such view")
    assert ["There is no view" in toast.value for toast in test.toast] == [True]
    add_class(dataset, "rose")
    test = opened("data", dataset=dataset, view="check")
    assert test.segmented_control(key="view").value == "Check"


def test_mistakes_in_names_are_explained_and_change_nothing():
    dataset = flowers()
    test = opened("data", dataset=dataset, view="Add")
    (field,) = [each for each in test.text_input if each.label == "New class"]
    field.set_value("ROSE")
    pressed(test, "Add class")
    assert "differs in case only" in said(test) and open_version(dataset).number == 2


def test_a_class_is_renamed_and_removed_and_that_is_undone():
    dataset = flowers()
    test = opened("data", dataset=dataset)
    (field,) = [each for each in test.text_input if each.label == "Class name"]
    field.set_value("<b>*Rose*")
    (rename,) = [each for each in test.button if each.label == "Rename" and "class" in each.key]
    rename.click().run()
    assert "Class “rose” renamed to “\\<b\\>\\*Rose\\*”" in said(test)
    pressed(test, "Remove this class")
    assert list(open_version(dataset).contents.classes.values()) == ["tulip"]
    pressed(pressed(test, "Undo"), "Undo")
    assert sorted(open_version(dataset).contents.classes.values()) == ["rose", "tulip"]
    pressed(test, "Redo")
    assert "<b>*Rose*" in open_version(dataset).contents.classes.values()


def test_selected_images_are_moved_and_removed():
    dataset = flowers()
    version = open_version(dataset)
    rose, tulip = (class_named(version.contents, name) for name in ("rose", "tulip"))
    keys = [tile.key for tile in image_tiles(version, rose, 0, 60)]
    test = opened("data", dataset=dataset)
    test.session_state[f"grid {dataset} {rose} 0"] = {"selected": keys[:2]}
    test.run()
    assert "2 selected" in said(test)
    (move,) = [each for each in test.button if each.label == "Move"]
    move.click().run()
    assert open_version(dataset).contents.counts() == {rose: 2, tulip: 6}
    assert "2 images moved from “rose” to “tulip”" in said(test)
    test.session_state[f"grid {dataset} {rose} 0"] = {"selected": keys[2:3]}
    test.run()
    pressed(test, "Remove")
    assert open_version(dataset).contents.counts() == {rose: 1, tulip: 6}
    assert "has one image" in said(test)


def test_versions_say_what_differs_and_one_is_restored():
    dataset = flowers()
    add_class(dataset, "lily")
    test = opened("data", dataset=dataset, view="Versions")
    assert test.dataframe[0].value["What differs"].iloc[0] == "Class “lily” added"
    pressed(test, "Restore")
    assert "lily" not in open_version(dataset).contents.classes.values()
    remove_images(dataset, list(open_version(dataset).contents.images)[:2])
    pressed(test.run(), "Delete older versions")
    assert [change.what for change in history(dataset)] == ["2 images removed from “rose”"] and "Undo" not in labels(
        test
    )


def test_an_interrupted_upload_is_added_or_discarded():
    dataset = create_dataset("Flowers").dataset
    upload = begin_upload(dataset)
    stage(upload, files_of("a", "b"))
    test = opened("data", dataset=dataset, view="Add")
    assert "An upload is under way. 8 images arrived so far." in said(test) and "Add them" not in labels(test)
    upload.rest()
    assert "8 images of an interrupted upload arrived" in said(test.run())
    pressed(test, "Add them")
    assert "8 images added." in said(test) and not uploads_of(dataset)
    other = begin_upload(dataset)
    stage(other, files_of("c", first=50))
    other.rest()
    pressed(test.run(), "Discard")
    assert not uploads_of(dataset) and len(open_version(dataset).contents.classes) == 2


def test_a_dataset_is_removed_and_restored():
    dataset = flowers()
    test = pressed(opened("data", dataset=dataset), "Remove this dataset")
    assert dataset_ids() == [] and trashed_ids() == [dataset]
    pressed(test, "Restore")
    assert dataset_ids() == [dataset] and "version 2" in said(test)


def test_a_dataset_that_another_tab_removed_is_said_to_be_gone():
    dataset = flowers()
    test = opened("data", dataset=dataset)
    remove_dataset(dataset)
    test.run()
    assert not test.exception and any("removed" in toast.value for toast in test.toast)
    assert not test.run().toast and "dataset" not in test.query_params  # it is said once


def test_train_on_it_opens_the_form_with_the_version():
    dataset = flowers(count=10)
    test = pressed(opened("data", dataset=dataset), "Train on it")
    to_page(test, "train").run()
    assert not test.exception and "Flowers, version 2" in said(test)


def test_a_page_of_a_thousand_classes_shows_some_of_them():
    dataset = create_dataset("Many").dataset
    add_files(dataset, [(f"class {number}/1.png", png(number)) for number in range(60)])
    cards = class_cards(dataset, 48, 48)
    assert len(cards) == 12
    pages = opened("data", dataset=dataset).selectbox(key=f"classes {dataset}")
    assert pages.options[1] == "49 to 60 of 60" and pages.value == 0
    test = opened("data", dataset=dataset, **{"class": cards[5].name})  # as when the page is loaded again
    assert test.selectbox(key=f"classes {dataset}").value == 1 and f"**{cards[5].name}**" in said(test)
    test.selectbox(key=f"classes {dataset}").set_value(0).run()
    assert test.selectbox(key=f"classes {dataset}").value == 0


def test_a_dataset_is_checked():
    dataset = flowers()
    test = opened("data", dataset=dataset, view="Check")
    until(lambda: not test.run().get("progress"))
    assert not test.exception, [error.value for error in test.exception]
    assert "Duplicates" in [option for group in test.segmented_control for option in group.options]
