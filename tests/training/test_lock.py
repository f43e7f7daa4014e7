"""One training at a time on a store: this process, command lines, and other hosts."""

import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

from expertnet.data.own.datasets import create_dataset
from expertnet.data.own.edits import rename_dataset
from expertnet.data.own.uploads import begin_upload
from expertnet.store import queue
from expertnet.store.queue import RunQueue
from expertnet.store.run_store import RunStore
from expertnet.store.status import Before
from expertnet.store.trash import trashed
from expertnet.training import ray_node
from expertnet.training.lock import train_in_turn, training_lock
from expertnet.training.manager import Manager
from expertnet.training.stop import Stop, stop_run
from expertnet.utils.processes import process_facts, this_process
from tests.support.hosts import other_host
from tests.support.small import LIMIT, TINY, can_resume, settings, until

ROOT = Path(__file__).parents[2]


@pytest.fixture
def store(tmp_path):
    return RunStore(tmp_path / "runs")


def command_line(store, *arguments, python=(sys.executable,)):
    command = [*python, "-m", "expertnet", "train", "--dataset", "digits", "--runs-dir", str(store.root), "--json"]
    for key, value in TINY.items():
        command += ["--set", f"{key}={'' if value == () else value}"]
    store.root.mkdir(exist_ok=True)
    return subprocess.Popen([*command, *arguments], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@contextmanager
def on_lock(path):
    """Yield a process that holds a lock until its input ends."""
    code = "import sys; from filelock import FileLock\nwith FileLock(sys.argv[1]): print('held', flush=True); sys.stdin.read()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", code, str(path)], **pipes) as process:
        assert process.stdout.readline() == "held\n"
        yield process


def test_the_lock_is_one_for_all_threads_and_free_again(tmp_path):
    with training_lock(tmp_path) as mine:
        assert mine
        with training_lock(tmp_path) as second:
            assert not second
    with training_lock(tmp_path) as again:
        assert again


def test_every_user_can_take_the_locks_whatever_the_umask(tmp_path, monkeypatch):
    monkeypatch.setenv("EXPERTNET_DATA", str(tmp_path / "data"))
    mask = os.umask(0o077)
    try:
        RunQueue(tmp_path).pause(True)
        with training_lock(tmp_path):
            pass
        rename_dataset(begin_upload(create_dataset("Mine").dataset).dataset, "Ours")
    finally:
        os.umask(mask)
    locks = [path for path in tmp_path.rglob("*lock") if path.is_file()]
    assert {path.name: oct(path.stat().st_mode & 0o777) for path in locks} == dict.fromkeys(
        ("queue.lock", "training.lock", "lock", "incoming.lock"), "0o666"
    )


def test_a_run_waits_for_the_one_that_trains_and_for_its_place(store):
    first, second = store.create(settings()), store.create(settings())
    RunQueue(store.root).add(first.id)  # without an owner: for a server, which is not there yet
    RunQueue(store.root).add(second.id, this_process().beating())
    waited, done = threading.Event(), []
    thread = threading.Thread(target=lambda: done.append(train_in_turn(second, Stop(), on_wait=waited.set)))
    thread.start()
    assert waited.wait(LIMIT) and second.state == "queued"
    manager = Manager(store)
    manager.wake()
    thread.join(LIMIT)
    assert done[0].state == "finished" and first.state == "finished"
    manager.close()


def test_a_run_that_another_process_trains_is_not_trained_a_second_time(store):
    """Ray may have started it again just before a command resumed it."""
    run, done, stop = store.create(settings()), [], Stop()
    RunQueue(store.root).add(run.id)
    with on_lock(run.path / "training.lock") as other:
        thread = threading.Thread(target=lambda: done.append(train_in_turn(run, stop)))
        thread.start()
        until(lambda: RunQueue(store.root).training == [run.id])
        run.write_status(run.status().changed(state="finished"))
        other.communicate("", LIMIT)
        thread.join(LIMIT)
    assert done[0].state == "finished"
    assert run.metrics() == [] and RunQueue(store.root).training == []


@pytest.mark.parametrize("how", ["Ctrl-C", "an interruption", "the page", "the page, to the trash"])
@pytest.mark.parametrize("resumed", [False, True])
@pytest.mark.parametrize("by", ["a process", pytest.param("a Ray task", marks=pytest.mark.slow)])
def test_a_stop_reaches_a_run_that_waits_for_another_process_to_leave_it(store, how, resumed, by, monkeypatch):
    run, stop, queue = store.create(settings()), Stop(), RunQueue(store.root)
    monkeypatch.setattr(ray_node, "Stop", lambda: stop)
    if resumed:
        before = Before(state="failed", epochs=2, error="The disk is full.", error_kind="disk")
        run.write_status(run.status().changed(before=before))
    queue.add(run.id)
    with on_lock(run.path / "training.lock"):

        def ask():
            until(lambda: queue.training == [run.id])
            if how == "Ctrl-C":
                stop.set()
            elif how == "an interruption":
                stop.interrupt()
            else:
                stop_run(run, discard="trash" in how)

        thread = threading.Thread(target=ask)
        thread.start()
        if by == "a process":
            train_in_turn(run, stop)
        else:
            ray_node.train_for_task(store.root, "task", (1.0, 0.0), (1.0, 0.0))
        thread.join(LIMIT)
    assert queue.ids() == queue.training == []
    (left,) = trashed(store) if "trash" in how else store.list()
    status = left.written_status()
    assert not left.stop_asked() and left.metrics() == []
    if resumed:
        assert (status.state, status.error, status.epochs) == ("failed", "The disk is full.", 2)
        assert left.settings().training.epochs == 2 and status.before is None
    else:
        assert status.state == ("interrupted" if how == "an interruption" else "stopped")


def test_a_run_that_is_taken_out_of_the_queue_ends_its_waiting(store):
    run, done = store.create(settings()), []
    RunQueue(store.root).add(run.id)
    with training_lock(store.root):
        waited = threading.Event()
        thread = threading.Thread(target=lambda: done.append(train_in_turn(run, Stop(), on_wait=waited.set)))
        thread.start()
        assert waited.wait(LIMIT)
        Manager(store).stop(run, discard=True)
        thread.join(LIMIT)
    assert done[0].state == "stopped" and store.list() == []


def test_a_process_that_comes_second_leaves_the_run_to_the_first(store):
    run, queue = store.create(settings()), RunQueue(store.root)
    queue.add(run.id, process_facts(os.getppid()).beating())
    assert train_in_turn(run, Stop()).state == "queued" and queue.ids() == [run.id]


def test_a_run_that_is_removed_between_two_looks_is_not_queued_again(store, monkeypatch):
    monkeypatch.setattr(queue, "RENEW_AFTER", 0.0)  # the process renews its place at every look
    run, waits = store.create(settings()), []
    RunQueue(store.root).add(run.id)

    class Removed(Stop):
        def wait(self, timeout=None):
            waits.append(run.state)
            assert len(waits) < 4, "the run waits in the queue again"
            Manager(store).stop(run)
            return len(waits) > 1

    with training_lock(store.root):
        assert train_in_turn(run, Removed()).state == "stopped"
    assert waits == ["queued"] and RunQueue(store.root).ids() == [] and run.state == "stopped"


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
    assert [one.id for one in Manager(store).training()] == [run.id]
    Manager(store).stop(run)
    assert run.state == "stopping" or run.state == "stopped"  # at once
    output, _ = process.communicate(timeout=LIMIT)
    assert json.loads(output)["state"] == "stopped" and run.state == "stopped" and can_resume(run)
    assert Manager(store).training() == []


@pytest.mark.slow
def test_a_training_on_another_host_is_seen_and_stopped(store):
    process = command_line(store, "--set", "training.epochs=2000", python=other_host())
    until(lambda: store.list() and store.list()[0].metrics(), process)
    (run,) = store.list()
    assert (
        not run.status().is_here
        and run.state == "running"
        and [one.id for one in Manager(store).training()] == [run.id]
    )
    Manager(store).stop(run)
    output, _ = process.communicate(timeout=LIMIT)
    assert json.loads(output)["state"] == "stopped" and run.state == "stopped" and can_resume(run)


@pytest.mark.slow
def test_sigterm_leaves_an_interrupted_run_that_goes_on(store):
    process = command_line(store, "--set", "training.epochs=2000")
    until(lambda: store.list() and store.list()[0].metrics(), process)
    process.terminate()
    process.communicate(timeout=LIMIT)  # closes the pipes as well, which a later test would be warned of
    (run,) = store.list()
    assert json.loads((run.path / "status.json").read_text())["state"] == "interrupted" and can_resume(run)
