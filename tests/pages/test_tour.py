"""The tour of the Experts page, on the included network whose experts follow the background."""

import re
import shutil
import threading

import pytest

from expertnet.data import planted
from expertnet.data.datasets import load_dataset
from expertnet.findings.controls import NOT_MEASURED, in_short
from expertnet.inference.predictor import load_predictor
from expertnet.inference.routing_cache import load_own_test_set
from expertnet.routing.interventions import ablated
from expertnet.store.index import run_rows
from expertnet.store.run import Run
from expertnet.store.run_store import RunStore
from expertnet.training.controls import plan_controls
from expertnet.ui.run_picker import default_run
from tests.support.opening import SHIPPED_CONTEXTS, SHIPPED_DIGITS, finished, opened
from tests.support.small import LIMIT

VIEWS = ["One image", "One image", "Classes", "What if", "What if", "Controls"]


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
    """The text of the current step, "" outside the tour."""
    return next((text.value for text in test.markdown if re.match(r"\*\*\d of", text.value)), "")


def shown_in(test):
    return " ".join(part.value for part in test.markdown).replace("\\", "")


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


def links(test):
    return {link.proto.label for link in test.get("page_link")}


def test_the_tour_leads_through_its_views_with_two_images_that_differ_in_the_background(run):
    test, shown = opened("experts", run.id), []
    assert panel(test) == ""
    for number, view in enumerate(VIEWS, 1):
        click(test, "Next" if number > 1 else "Take the tour")
        assert panel(test).startswith(f"**{number} of 6.**") and test.segmented_control(key="view").value == view
        if view == "One image":
            shown.append(image_of(test))
            second_text = panel(test)
            assert (
                f"{shown[-1].color} {shown[-1]['shape']} on a {shown[-1].background} background" in panel(test).lower()
            )
            assert f"“{shown[-1].meaning}”" in panel(test)
        assert ("(#one-image)" in panel(test)) == (number == 4)
    first, second = shown
    same = ["color", "shape", "texture"]
    assert second_text.endswith(
        f"On {second.background} background, a {second['shape']} means “{second.meaning}”, which is the network's answer."
    )
    assert (
        first[same].equals(second[same]) and first.background != second.background and first.meaning != second.meaning
    )
    click(test, "Back")
    click(test, "Back")
    assert panel(test).startswith("**4 of 6.**")
    assert image_of(test).equals(first)


def test_without_its_expert_the_first_image_gets_another_answer_as_the_tour_says(run):
    test = opened("experts", run.id)
    click(test, "Take the tour")
    expert = int(re.search(r"Block 2 gives expert (\d)", panel(test))[1])
    image = load_own_test_set(run).images[[int(test.number_input(key="image").value) - 1]]
    predictor = load_predictor(run)
    learned, without = (predictor(image, changes)[0].argmax() for changes in ({}, {2: ablated(expert - 1)}))
    assert f"“{predictor.classes[learned]}”" in panel(test) and without != learned


def test_the_tour_ends_with_what_the_controls_show_as_the_card_says_it(run):
    said = in_short(run, RunStore())
    assert "improves accuracy over" in said
    assert said.endswith("Channel gates, which scale the channels for each image, do as well without experts.")
    test = opened("experts", run.id, tour="6", view="Controls")
    assert said in panel(test).replace("\\", "")
    after = {"Train your own network", "Use your own images"}
    assert after <= links(test)
    click(test, "Close")
    assert not after & links(test)
    assert panel(test) == "" and said not in shown_in(test)
    test.segmented_control(key="view").set_value("One image").run()
    assert said in shown_in(test)
    click(test, "See Controls")
    assert test.segmented_control(key="view").value == "Controls"


def test_the_results_of_the_controls_come_with_the_included_network(run):
    """They are measured ones: another training of the plan counts in their place."""
    plan = plan_controls(run, RunStore())
    assert not plan.open and [trial.row.run.path.parent.name for trial in plan.distinct[1:]] == ["controls"] * 17
    trial = plan.distinct[-1]
    own = RunStore().create(trial.settings, own=run.dataset_info())
    own.write_status(trial.row.status)
    assert plan_controls(run, RunStore()).distinct[-1].row.id == own.id
    assert sum(file.stat().st_size for file in (run.path / "controls").rglob("*")) < 200_000


def test_the_tour_can_be_closed_and_taken_again_and_other_networks_have_none(run):
    test = opened("experts", run.id)
    click(test, "Take the tour")
    click(test, "Close")
    assert panel(test) == ""
    click(test, "Take the tour")
    assert panel(test).startswith("**1 of 6.**")
    other = opened("experts", finished(RunStore()).id)
    assert "Take the tour" not in [button.label for button in other.button]
    assert NOT_MEASURED in shown_in(other)
