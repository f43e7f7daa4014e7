"""One training at a time on a store: this process, others, and trainings in processes of their own."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from expertnet.errors import RunError
from expertnet.store.checks import can_resume
from expertnet.store.queue import RunQueue
from expertnet.store.run_store import RunStore
from expertnet.training import worker
from expertnet.training.lock import train_in_turn, training_lock
from expertnet.training.manager import Manager
from expertnet.training.stop import Stop
from tests.support.small import LIMIT, TINY, settings, until

ROOT = Path(__file__).parents[2]


@pytest.fixture
def store(tmp_path):
    return RunStore(tmp_path / "runs")


def command_line(store, *arguments):
    command = [
        sys.executable,
        "-m",
        "expertnet",
        "train",
        "--dataset",
        "digits",
        "--runs-dir",
        str(store.root),
        "--json",
    ]
    for key, value in TINY.items():
        command += ["--set", f"{key}={'' if value == () else value}"]
    store.root.mkdir(exist_ok=True)
    return subprocess.Popen([*command, *arguments], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_the_lock_is_one_for_all_threads_and_free_again(tmp_path):
    with training_lock(tmp_path) as mine:
        assert mine
        with training_lock(tmp_path) as second:
            assert not second
    with training_lock(tmp_path) as again:
        assert again


def test_a_run_waits_for_the_one_that_trains_and_for_its_place(store):
    first, second = store.create(settings()), store.create(settings())
    RunQueue(store.root).add(first.id)  # without an owner: for a server, which is not there yet
    waited, done = threading.Event(), []
    thread = threading.Thread(target=lambda: done.append(train_in_turn(second, Stop(), on_wait=waited.set)))
    thread.start()
    assert waited.wait(LIMIT) and second.state == "queued"
    manager = Manager(store)
    manager.wake()
    thread.join(LIMIT)
    assert done[0].state == "finished" and first.state == "finished"
    manager.close()


def test_a_run_that_is_taken_out_of_the_queue_ends_its_waiting(store):
    run, done = store.create(settings()), []
    with training_lock(store.root):
        waited = threading.Event()
        thread = threading.Thread(target=lambda: done.append(train_in_turn(run, Stop(), on_wait=waited.set)))
        thread.start()
        assert waited.wait(LIMIT)
        Manager(store).stop(run, discard=True)
        thread.join(LIMIT)
    assert done[0].state == "stopped" and store.list() == []


@pytest.mark.slow
def test_the_command_line_waits_is_seen_and_leaves_nothing_when_it_is_stopped_before_its_turn(store):
    with training_lock(store.root):
        process = command_line(store)
        until(lambda: RunQueue(store.root).ids(), process)
        (run,) = Manager(store).waiting()
        assert run.state == "queued" and run.status().pid == process.pid
        process.send_signal(signal.SIGINT)
        output, said = process.communicate(timeout=LIMIT)
    assert process.returncode == 0 and json.loads(output)["state"] == "stopped"
    assert "Waiting in the queue" in said and "in the trash" in said and store.list() == []


@pytest.mark.slow
def test_any_process_stops_the_training_of_another_through_the_store(store):
    process = command_line(store, "--set", "training.epochs=2000")
    until(lambda: store.list() and store.list()[0].metrics(), process)
    (run,) = store.list()
    assert Manager(store).training().id == run.id
    Manager(store).stop(run)
    assert run.state == "stopping" or run.state == "stopped"  # at once
    output, _ = process.communicate(timeout=LIMIT)
    assert json.loads(output)["state"] == "stopped" and run.state == "stopped" and can_resume(run)
    assert Manager(store).training() is None


@pytest.mark.slow
def test_sigterm_leaves_an_interrupted_run_that_goes_on(store):
    process = command_line(store, "--set", "training.epochs=2000")
    until(lambda: store.list() and store.list()[0].metrics(), process)
    process.terminate()
    process.communicate(timeout=LIMIT)  # closes the pipes as well, which a later test would be warned of
    (run,) = store.list()
    assert json.loads((run.path / "status.json").read_text())["state"] == "interrupted" and can_resume(run)


@pytest.mark.slow
def test_a_training_in_its_own_process_outlives_its_server_and_ends_by_force(store):
    first = Manager(store)
    run = first.submit(settings(**{"hardware.own_process": True, "training.epochs": 5000}))
    after = first.submit(settings())
    until(lambda: run.metrics())
    pid = run.status().pid
    assert pid != os.getpid() and run.status().own_process and worker.can_force_stop(run)
    first.close()  # as when its server ends
    assert psutil.pid_exists(pid) and run.state == "running"
    second = Manager(store)
    try:
        assert second.training().id == run.id
        second.wake()
        epochs = len(run.metrics())
        until(lambda: len(run.metrics()) > epochs)  # it goes on
        assert after.state == "queued"
        worker.force_stop(run)
        until(lambda: run.state == "interrupted")
        assert can_resume(run) and second.join(after.id, timeout=LIMIT) and after.state == "finished"
        with pytest.raises(RunError, match="its own process"):
            worker.force_stop(run)
    finally:
        second.close()


def test_a_process_that_cannot_begin_fails_its_run(store, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    manager = Manager(store)
    run = manager.submit(settings(**{"hardware.own_process": True}))
    assert manager.join(timeout=LIMIT)
    assert run.state == "failed" and "ended before it started" in run.status().error
    manager.close()
