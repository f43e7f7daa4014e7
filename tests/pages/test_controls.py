"""The view Controls of the Experts page: before, while and after the controls are trained."""

import pytest

from expertnet.inference.routing_cache import load_own_test_set, route_test_set
from expertnet.network.controls import ARMS
from expertnet.store.queue import RunQueue
from expertnet.store.run_store import RunStore
from expertnet.training.controls import plan_controls
from tests.support.controls import with_controls
from tests.support.opening import finished, opened
from tests.support.settling import settled


@pytest.fixture
def run():
    """A finished run in a store whose queue is paused, so that nothing trains."""
    run = finished(RunStore())
    RunQueue(RunStore().root).pause(True)
    return run


def view_of(run, **address):
    return opened("experts", run.id, view="Controls", **address)


def text(test):
    shown = (*test.markdown, *test.caption, *test.info, *test.error)
    return " ".join(part.value for part in shown).replace("\\", "")


def button(test, label):
    return next(button for button in test.button if button.label == label)


def test_one_button_queues_what_is_missing_and_another_removes_it(run):
    test, store = view_of(run, seeds="2"), RunStore()
    missing = len(plan_controls(run, store, 2).open)
    which = "each control with each seed, and this network with the other seeds, about "
    assert f"{missing} runs: {which}" in text(test) and "at the speed of this run" in text(test)
    button(test, "Train the controls").click().run()
    assert len(RunQueue(store.root).ids()) == missing
    assert f"1 of {missing + 1} runs finished, {missing} in the queue." in text(test)
    assert not any(button.label.startswith("Train the") for button in test.button)
    button(test, "Remove the controls from the queue").click().run()
    assert RunQueue(store.root).ids() == [] and [each.id for each in store.list()] == [run.id]
    assert button(test, "Train the controls")


def test_another_kind_is_queued_once_it_is_chosen(run):
    test, store = view_of(run, seeds="1"), RunStore()
    missing = len(plan_controls(run, store, 1).open)
    test.multiselect(key="kinds").set_value(["kernels"]).run()
    assert f"{missing + 1} runs, about " in text(test)
    button(test, "Train the controls").click().run()
    assert sum(each.title.endswith(": mixed kernels, seed 0") for each in store.list()) == 1
    button(test, "Remove the controls from the queue").click().run()


def test_partial_results_are_shown_as_such_with_what_is_missing(run):
    store = RunStore()
    with_controls(run, store, {"learned": [0.9, 0.9], "uniform": [0.85, 0.8]})
    test = view_of(run)
    assert test.selectbox(key="seeds").value == 3
    assert "Partial results, " in text(test) and "equal weights" in text(test)
    assert button(test, "Train the missing controls") and test.get("vega_lite_chart")
    assert list(test.dataframe[0].value) == ["network", "accuracy", "gain (points)", "95% interval", "routing"]


@pytest.mark.parametrize(("view", "times"), [("One image", 2), ("Controls", 1), ("Through training", 2)])
def test_the_card_says_what_the_controls_show_in_short_and_with_figures_where_the_view_does_not(run, view, times):
    with_controls(run, RunStore(), {"learned": [0.9, 0.9], "uniform": [0.85, 0.8]})
    route_test_set(run, load_own_test_set(run))
    assert text(opened("experts", run.id, view=view)).count("Partial results, ") == times


def test_the_margin_and_the_images_are_chosen_and_kept_in_the_url(run):
    accuracy, store = run.status().test_accuracy, RunStore()
    arms = {arm: [accuracy - 0.01 * (arm != "learned"), accuracy - 0.0101 * (arm != "learned")] for arm in ARMS}
    with_controls(run, store, arms)
    assert "Routing improves accuracy over" in text(view_of(run, seeds="2"))
    test = view_of(run, seeds="2", margin="2.0")
    assert "Routing is equivalent within 2 points to" in text(test)
    test.segmented_control(key="measured").set_value("Validation set").run()
    assert "which also chose the epoch" in text(test)


def test_more_seeds_than_three_are_shown_once_they_are_there(run):
    with_controls(run, RunStore(), {"uniform": [0.8] * 4})
    assert view_of(run).selectbox(key="seeds").value == 4


def test_trained_seeds_are_compared_once_that_is_unfolded(run):
    finished(RunStore(), seed=1)
    test = view_of(run)
    test.session_state["Do other seeds route similarly?"] = True
    settled(test)
    assert "2 seeds" in text(test) and "the network measurably relies on per-image routing" in text(test)
    assert not test.error


def test_runs_without_controls_say_why():
    store = RunStore()
    single, uniform = finished(store, **{"model.num_experts": 1}), finished(store, **{"model.routing": "uniform"})
    assert "has one expert per block" in text(view_of(single))
    assert "is a control itself" in text(view_of(uniform))
