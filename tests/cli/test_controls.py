"""`expertnet controls`."""

import pytest

from expertnet.network.controls import ARMS
from expertnet.store.queue import RunQueue
from expertnet.store.run_store import RunStore
from expertnet.store.status import Status
from expertnet.training.controls import plan_controls, queue_controls
from expertnet.training.runner import run_training
from expertnet.training.stop import Stop, stop_run
from tests.support.command import command, document, refused
from tests.support.controls import measured, original, with_controls
from tests.support.small import settings


@pytest.fixture
def store(tmp_path):
    return RunStore(tmp_path / "runs")


@pytest.mark.slow
def test_the_controls_are_trained_once_and_compared(store):
    run = store.create(settings(), "quick", "mine")
    assert run_training(run, Stop()).state == "finished"
    found = document("controls", run.id, "--seeds", 1)
    assert found["finished"] == found["planned"] and found["seeds"] == [0]
    assert {each["control"] for each in found["controls"]} == set(ARMS.values())
    assert {each["state"] for each in found["runs"]} == {"finished"}
    count = len(store.list())
    again = command("controls", run.id, "--seeds", 1)
    assert len(store.list()) == count and again.stdout.splitlines()[-1] == found["sentence"]


def test_a_comparison_that_is_there_is_printed(store):
    run = original(store)
    accuracies = {arm: [0.9 - place / 100, 0.91 - place / 90] for place, arm in enumerate(ARMS)}
    with_controls(run, store, accuracies)
    found = document("controls", run.id, "--seeds", 2, "--margin", 0.4)
    assert found["margin"] == 0.004 and found["measured_on"] == "test"
    uniform = found["controls"][1]
    assert list(uniform) == [
        *("control", "seeds", "accuracy", "gain", "low", "high", "low_90", "high_90", "smallest", "verdict"),
        *("seconds", "multiply_adds", "parameters"),
    ]
    lines = command("controls", run.id, "--seeds", 2).stdout.splitlines()
    assert lines[0].split()[:3] == ["network", "seeds", "accuracy"] and len(lines) == len(ARMS) + 2


def test_other_kinds_are_trained_and_compared_only_if_asked_for(store):
    run = original(store, **{"model.mixing": "kernels"})
    plain = command("controls", run.id, "--queue", "--seeds", 1)
    count = len(store.list())
    done = command("controls", run.id, "--queue", "--seeds", 1, "--kind", "top_1", "--kind", "kernels")
    assert plain.returncode == done.returncode == 0 and "Added 1 run to the queue." in done.stderr
    assert "Left out mixed kernels: run mine is such a network itself." in done.stderr
    assert len(store.list()) == count + 1 and "mine: balanced top 1 of K, seed 0" in {
        each.title for each in store.list()
    }


def test_with_queue_the_runs_only_wait(store):
    run = original(store)
    done = command("controls", run.id, "--queue", "--seeds", 1)
    waiting = RunQueue(store.root).entries()
    assert done.returncode == 0 and waiting and all(entry.owner is None for entry in waiting)
    assert f"Added {len(waiting)} runs to the queue." in done.stderr
    assert done.stdout == f"1 run of {len(waiting) + 1} finished.\n"


@pytest.mark.parametrize("discard", [False, True])
@pytest.mark.parametrize("queued", [False, True])
def test_a_control_that_a_user_stops_is_not_started_again(store, monkeypatch, discard, queued):
    run, turns = original(store), []
    before = queue_controls(run, store, 1) if queued else []
    count = len(plan_controls(run, store, 1).distinct) - 1

    def stopped_by_a_user(control, stop, **_):
        turns.append(control.id)
        assert len(turns) <= count
        for waiting in RunQueue(store.root).ids():  # all of them, if they were queued before
            stop_run(store.get(waiting), discard)
        return control.status() if control.path.is_dir() else Status(state="stopped")

    monkeypatch.setattr("expertnet.training.lock.train_in_turn", stopped_by_a_user)
    done = command("controls", run.id, "--seeds", 1)
    assert done.returncode == 0 and "its run is stopped" in done.stderr
    assert len(turns) == (1 if queued else count) and RunQueue(store.root).ids() == []
    kept = {each.id for each in store.list()} - {run.id}
    assert kept == (set() if discard else {control.id for control in before} or set(turns))


def test_a_training_of_another_process_is_waited_for(store, monkeypatch):
    run = original(store)
    waiting = queue_controls(run, store, 1)
    looked = []

    class Looked(Stop):
        def wait(self, timeout=None):
            looked.append(timeout)
            control = waiting[0]  # which another process has trained meanwhile
            RunQueue(store.root).remove(control.id)
            measured(control, 0.8) if len(waiting) > 1 else control.leave_queue("failed")
            waiting.pop(0)
            return False

    monkeypatch.setattr("expertnet.cli.controls.stop_on_signals", Looked)
    monkeypatch.setattr("expertnet.training.lock.train_in_turn", lambda control, stop, **_: control.status())
    count = len(waiting)
    done = command("controls", run.id, "--seeds", 1)
    assert done.returncode == 1 and len(looked) == count and not waiting


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--seeds", 0], "between 1 and 30. You entered 0."),
        (["--margin", 0], "--margin must be greater than 0"),
        (["--margin", "nan"], "--margin must be greater than 0"),
        (["--seeds", "many"], "--seeds"),
        (["--kind", "top_3"], "no kind of network called top_3. Choose from kernels, "),
    ],
)
def test_wrong_arguments_are_rejected(store, words, says):
    assert says in refused(command("controls", original(store).id, *words))
    assert len(store.list()) == 1


def test_runs_without_controls_are_rejected(store):
    single = original(store, **{"model.num_experts": 1})
    assert "has one expert per block" in refused(command("controls", single.id))
    without = original(store, **{"data.validation_share": 0.0})
    assert "held out no validation images" in refused(command("controls", without.id, "--validation"))
