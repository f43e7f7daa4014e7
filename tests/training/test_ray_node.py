"""A node's part in a training on a Ray cluster, tried without Ray."""

import subprocess
import sys

import pytest
import torch

from expertnet.errors import RunError
from expertnet.store.queue import RunQueue
from expertnet.training.lock import train_in_turn
from expertnet.training.place import Place
from expertnet.training.ray_node import needed, train_for_task
from expertnet.training.runner import run_training
from expertnet.training.start import prepare_resume
from expertnet.training.stop import Stop, stop_run
from expertnet.utils.processes import process_facts, this_process
from tests.support.small import figures, settings

DEAD = this_process().model_copy(update={"pid": 2**22 + 1})
USUAL = (1.0, 0.5)
ENDS_LATE = """
import json, sys, time
from pathlib import Path
run = Path(sys.argv[1])
while not (run / "training.lock").exists():
    time.sleep(0.05)
time.sleep(0.3)  # in which the next attempt must not begin
status = json.loads((run / "status.json").read_text())
(run / "status.json").write_text(json.dumps(status | {"state": "interrupted"}))
with (run / "log.txt").open("a") as log:
    log.write("2026-01-01T00:00:00+00:00  the first attempt ends\\n")
"""


def test_a_task_takes_the_first_run_that_it_has_room_for(store):
    queue, runs = (
        RunQueue(store.root),
        [store.create(settings()), store.create(settings(**{"hardware.device": "auto"}))],
    )
    assert [needed(run, USUAL) for run in runs] == [(1.0, 0.0), USUAL]
    for run in runs:
        queue.add(run.id)
    queue.add("of a command", this_process().beating())
    assert queue.take_for("task 1", lambda run: run == runs[1].id) == runs[1].id
    assert queue.tasks == {"task 1": runs[1].id} and queue.training == [runs[1].id]
    queue.pause(True)
    assert queue.take_for("task 2", lambda run: True) is None
    assert queue.take_for("task 1", lambda run: False) == runs[1].id  # its node died
    queue.pause(False)
    assert queue.take_for("task 2", lambda run: True) == runs[0].id
    assert queue.take_for("task 3", lambda run: True) is None and queue.ids() == ["of a command"]


@pytest.mark.slow
def test_a_task_whose_node_died_resumes_its_run_to_the_same_bits(store):
    whole, cut = (store.create(settings(**{"training.epochs": 2})) for _ in range(2))
    queue, stop = RunQueue(store.root), Stop()
    queue.add(whole.id)
    train_for_task(store.root, "the first", USUAL, (1.0, 0.0))
    assert whole.state == "finished" and queue.tasks == {} and queue.ids() == []
    run_training(cut, stop, place=Place(cpus=1), on_progress=lambda status: status.epoch == 1 and stop.set())
    cut.write_status(cut.status().changed(state="running", process=DEAD))  # as a node leaves it that dies
    queue.add(cut.id)
    assert queue.take_for("task", lambda run: True) == cut.id and cut.state == "interrupted"
    train_for_task(store.root, "task", USUAL, (1.0, 0.0))
    assert cut.state == "finished" and figures(cut) == figures(whole)
    assert "Ray starts the run again" in cut.log_tail() and "Resumed after epoch 1" in cut.log_tail()
    assert queue.tasks == {}


@pytest.mark.skipif(torch.cuda.is_available(), reason="this computer has a GPU")
@pytest.mark.parametrize("processes", [1, 2])
def test_a_node_without_the_device_of_a_run_says_so(store, processes):
    run, queue = (
        store.create(settings(**{"hardware.device": "cuda", "hardware.processes": processes})),
        RunQueue(store.root),
    )
    queue.add(run.id)
    train_for_task(store.root, "task", (1.0, 0.0), (float(processes), 0.0))
    assert run.state == "failed" and "this computer has no such device" in run.status().error
    assert queue.tasks == {} and queue.ids() == []


def test_a_command_that_resumes_a_run_takes_it_from_ray(store):
    run, queue = store.create(settings()), RunQueue(store.root)
    queue.add(run.id)
    queue.take_for("task", lambda run: True)
    run.write_status(run.status().changed(state="running", process=DEAD))
    prepare_resume(run)
    queue.add(run.id, this_process().beating())
    train_for_task(store.root, "task", USUAL, (1.0, 0.0))  # of which Ray is not told
    assert run.state == "queued" and queue.ids() == [run.id] and queue.tasks == {}
    assert train_in_turn(run, Stop()).state == "finished"


@pytest.mark.slow
@pytest.mark.parametrize("host", [None, "another-host"])
def test_a_task_waits_until_the_processes_of_its_first_attempt_have_ended(store, host):
    run, queue = store.create(settings()), RunQueue(store.root)
    queue.add(run.id)
    queue.take_for("task", lambda run: True)
    waited = [sys.executable, "-c", ENDS_LATE, str(run.path)]
    with subprocess.Popen(waited, stderr=subprocess.PIPE, text=True) as first:
        facts = process_facts(first.pid).beating()
        process = facts.model_copy(update={"host": host or facts.host})
        run.write_status(run.status().changed(state="running", process=process))
        train_for_task(store.root, "task", USUAL, (1.0, 0.0))
    log = run.log_tail()
    assert first.returncode == 0 and run.state == "finished"
    assert 0 <= log.find("the first attempt ends") < log.find("Ray starts the run again")


def test_a_run_that_ray_would_start_again_can_be_stopped(store):
    run, queue = store.create(settings(**{"training.epochs": 10_000})), RunQueue(store.root)
    queue.add(run.id)
    queue.take_for("task", lambda run: True)
    run.write_status(run.status().changed(state="running", activity="Training", process=DEAD))
    assert run.state == "interrupted"
    stop_run(run)
    assert run.state == "stopped" and run.status().activity == "" and queue.tasks == {}
    train_for_task(store.root, "task", USUAL, (1.0, 0.0))
    assert run.state == "stopped" and run.metrics() == []
    with pytest.raises(RunError, match="is not training: it is stopped"):
        stop_run(run)
