"""What a screen reader says about trainings."""

import json
import shutil

import pytest

from expertnet.store.notes import Notes
from expertnet.store.queue import RunQueue
from expertnet.store.run_store import RunStore
from expertnet.sweeps.engine import advance, start_sweep
from expertnet.training.controls import queue_controls
from expertnet.utils.processes import this_process
from tests.support import stores
from tests.support.controls import original
from tests.support.opening import opened
from tests.support.sweeps import plan


def told(test):
    (region,) = (each.proto for each in test.get("bidi_component") if each.proto.component_name == "announcer")
    return {name: json.loads(region.json)[name] for name in ("said", "ended")}


def said(test):
    return told(test)["said"]


def test_a_new_session_hears_nothing_of_what_was_before():
    run = stores.running(RunStore())
    assert said(opened("runs")) == ""
    run.write_status(run.status().changed(state="finished"))
    assert said(opened("runs")) == ""


@pytest.mark.slow
@pytest.mark.parametrize("state", ["stopping", "stopped", "finished", "failed"])
def test_the_end_of_a_training_is_said_and_stays(state):
    run = stores.running(RunStore())
    test = opened("runs")
    run.write_status(run.status().changed(state=state))
    for _ in range(2):
        assert said(test.run()) == f"Training {state}: <b>mine</b> *x*."  # as text


def test_a_training_that_another_one_follows_is_said_too():
    test = opened("runs")
    first = stores.running(RunStore())
    assert said(test.run()) == "Training started: <b>mine</b> *x*."
    first.write_status(first.status().changed(state="failed"))
    first.annotate(Notes("First"))
    stores.running(RunStore())
    assert said(test.run()) == "Training failed: First. Training started: <b>mine</b> *x*."


def test_nothing_is_said_of_a_training_that_was_discarded():
    run = stores.running(RunStore())
    test = opened("runs")
    shutil.rmtree(run.path)
    assert said(test.run()) == ""


def trained(test, run):
    """Train a run that waits for this process. Returns what is said and sent meanwhile and afterwards."""
    heard, queue = [], RunQueue(run.path.parent)
    assert queue.take(run.id)
    run.write_status(run.status().changed(state="running", process=this_process().beating()))
    heard.append(told(test.run()))
    run.write_status(run.status().changed(state="finished", best_val_accuracy=0.5))
    queue.done(run.id)
    return [*heard, told(test.run())]


@pytest.mark.slow
def test_of_a_sweep_its_start_and_its_end_alone_are_said():
    store, test = RunStore(), opened("runs")
    sweep = start_sweep(store, plan("model.num_experts=1..2", name="Experts"), this_process().beating())
    began = {"said": "Sweep started: Experts.", "ended": ""}
    assert told(test.run()) == began
    for _ in range(2):
        (run,) = advance(sweep)
        assert trained(test, run) == [began, began]
    assert advance(sweep) == []
    assert told(test.run()) == {"said": "Sweep finished: Experts.", "ended": "Sweep finished: Experts."}


@pytest.mark.slow
def test_of_the_controls_of_a_run_their_common_start_and_end_are_said():
    store, test = RunStore(), opened("runs")
    queue, controls = RunQueue(store.root), queue_controls(original(store), store, 1)
    for control in controls:
        queue.add(control.id, this_process().beating())  # which keeps the studio from training it
    began, over = {"said": "Controls started: mine.", "ended": ""}, "Controls ended: mine."
    heard = [each for control in controls for each in trained(test, control)]
    assert len(controls) > 1 and heard == [*[began] * (2 * len(controls) - 1), {"said": over, "ended": over}]
