"""`expertnet controls`."""

import pytest

from expertnet.network.controls import ARMS
from expertnet.store.queue import RunQueue
from expertnet.store.run_store import RunStore
from expertnet.training.runner import run_training
from expertnet.training.stop import Stop
from tests.support.command import command, document, refused
from tests.support.controls import original, with_controls
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
    assert "Left out kernels mixed: run mine is such a network itself." in done.stderr
    assert len(store.list()) == count + 1 and "mine: top 1 of K, balanced, seed 0" in {
        each.title for each in store.list()
    }


def test_with_queue_the_runs_only_wait(store):
    run = original(store)
    done = command("controls", run.id, "--queue", "--seeds", 1)
    waiting = RunQueue(store.root).entries()
    assert done.returncode == 0 and waiting and all(entry.owner is None for entry in waiting)
    assert f"Added {len(waiting)} runs to the queue." in done.stderr
    assert done.stdout == f"1 run of {len(waiting) + 1} finished.\n"


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
