"""The tour of the Experts page, on the included network whose experts follow the ground."""

import re
import shutil
import threading

import pytest

from expertnet.data import planted
from expertnet.data.datasets import load_dataset
from expertnet.inference.predictor import load_predictor
from expertnet.inference.routing_cache import load_own_test_set
from expertnet.routing.interventions import ablated
from expertnet.store.index import run_rows
from expertnet.store.run import Run
from expertnet.store.run_store import RunStore
from expertnet.ui.run_picker import default_run
from tests.support.opening import SHIPPED_CONTEXTS, SHIPPED_DIGITS, finished, opened
from tests.support.small import LIMIT

VIEWS = ["One image", "One image", "Classes", "What if", "What if"]


@pytest.fixture
def run():
    return Run(shutil.copytree(SHIPPED_CONTEXTS, RunStore().root / SHIPPED_CONTEXTS.name))


@pytest.fixture(autouse=True)
def joined():
    """Wait for what a page computes in the background."""
    yield
    for thread in threading.enumerate():
        if thread.name == "task":
            thread.join(LIMIT)


def panel(test):
    """The text of the tour, "" without it."""
    texts = [
        text.value for text in test.markdown if text.value.startswith(("**New here?", *(f"**{n} of" for n in range(9))))
    ]
    return texts[0] if texts else ""


def click(test, label):
    next(button for button in test.button if button.label == label).click().run()
    assert not test.exception and not test.error


def image_of(test):
    """What the chosen test image shows."""
    return planted.factors("test").iloc[int(test.number_input(key="image").value) - 1]


def test_the_included_network_has_the_images_that_are_drawn_now(run):
    data = load_dataset(run.settings().data, run.settings().seed, own=run.dataset_info())
    assert data.info.content == run.dataset_info().content and data.note == ""


def test_experts_opens_on_it_and_predict_on_the_digits(run):
    shutil.copytree(SHIPPED_DIGITS, RunStore().root / SHIPPED_DIGITS.name)
    rows = {row.id: row for row in run_rows(RunStore())}
    assert default_run(rows, images=True) == run.id and default_run(rows) == SHIPPED_DIGITS.name


def test_the_tour_leads_through_its_views_with_two_images_that_differ_in_the_ground(run):
    test, shown = opened("experts", run.id), []
    assert panel(test).startswith("**New here?")
    for number, view in enumerate(VIEWS, 1):
        click(test, "Next" if number > 1 else "Take the tour")
        assert panel(test).startswith(f"**{number} of 5.**") and test.segmented_control(key="view").value == view
        if view == "One image":
            shown.append(image_of(test))
            assert f"{shown[-1].color} {shown[-1]['shape']} on {shown[-1].ground} ground" in panel(test).lower()
            assert f"“{shown[-1].meaning}”" in panel(test)
    first, second = shown
    same = ["color", "shape", "texture"]
    assert first[same].equals(second[same]) and first.ground != second.ground and first.meaning != second.meaning
    click(test, "Back")
    assert panel(test).startswith("**4 of 5.**")
    assert image_of(test).equals(first)


def test_without_its_expert_the_first_image_gets_another_answer_as_the_tour_says(run):
    test = opened("experts", run.id)
    click(test, "Take the tour")
    expert = int(re.search(r"Block 2 gives expert (\d)", panel(test))[1])
    image = load_own_test_set(run).images[[int(test.number_input(key="image").value) - 1]]
    predictor = load_predictor(run)
    learned, without = (predictor(image, changes)[0].argmax() for changes in ({}, {2: ablated(expert - 1)}))
    assert f"“{predictor.classes[learned]}”" in panel(test) and without != learned


def test_the_tour_can_be_closed_and_other_networks_have_none(run):
    test = opened("experts", run.id)
    click(test, "Close")
    assert panel(test) == ""
    assert panel(opened("experts", finished(RunStore()).id)) == ""
