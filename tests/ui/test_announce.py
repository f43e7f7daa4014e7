"""What a screen reader says about trainings."""

import json
import shutil

import pytest

from expertnet.store.notes import Notes
from expertnet.store.run_store import RunStore
from tests.support import stores
from tests.support.opening import opened


def said(test):
    (region,) = (each.proto for each in test.get("bidi_component") if each.proto.component_name == "announcer")
    return json.loads(region.json)["said"]


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
