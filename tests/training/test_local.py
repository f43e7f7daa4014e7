"""Several trainings at once: one in the server, further ones in processes that end with it."""

import json
import os
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import psutil
import pytest

from expertnet.store.queue import RunQueue
from expertnet.training import local
from expertnet.training.manager import Manager
from expertnet.training.process import start_process
from expertnet.utils.files import file_lock
from expertnet.utils.processes import process_facts, this_process
from tests.support.small import LIMIT, can_resume, settings, until

LONG = {"training.epochs": 5000}


@pytest.mark.slow
def test_two_runs_train_at_once_and_what_ends_one_leaves_the_other(manager):
    manager.set_limit(2)
    here, apart, third = manager.submit(settings(**LONG)), manager.submit(settings(**LONG)), manager.submit(settings())
    until(lambda: here.metrics() and apart.metrics())
    helper = psutil.Process(apart.status().pid)
    assert here.status().pid == os.getpid() != helper.pid and apart.status().own_process
    assert [run.id for run in manager.training()] == [here.id, apart.id] and third.state == "queued"
    status = manager.executor.status
    assert status(here).startswith("Trains: CPU") and "in a process of its own" in status(apart)
    assert status(third) == "Waits for one of 2 runs to finish."
    manager.stop(here)
    assert manager.join(here.id, timeout=LIMIT) and manager.join(third.id, timeout=LIMIT)
    assert here.state == "stopped" and can_resume(here) and third.state == "finished"
    assert apart.state == "running"
    manager.close()
    until(lambda: not psutil.pid_exists(helper.pid))
    assert apart.state == "interrupted" and can_resume(apart) and "killed" in manager.executor.ended(apart)


def test_a_run_of_a_host_that_has_ended_takes_up_no_place(store):
    """A container that is created anew has another host name."""
    dead, waits = store.create(settings()), store.create(settings())
    queue, gone = RunQueue(store.root), this_process().model_copy(update={"host": "gone", "heartbeat": 1.0})
    queue.add(dead.id)
    assert queue.take(dead.id, 1)
    contents = json.loads(queue.path.read_text())
    contents["training"][0]["owner"] = gone.model_dump()
    queue.path.write_text(json.dumps(contents))
    dead.write_status(dead.status().changed(state="running", process=gone))
    queue.add(waits.id)
    assert dead.state == "interrupted" and queue.training == [dead.id]
    assert Manager(store).executor.status(waits) == "About to start."


def test_a_run_that_was_taken_does_not_wait_for_itself(store):
    run, queue = store.create(settings()), RunQueue(store.root)
    queue.add(run.id)
    assert queue.take(run.id)
    assert run.state == "queued" and Manager(store).executor.status(run) == "About to start."


def test_a_run_with_several_processes_waits_for_as_many_places(store):
    training, pair, single = (store.create(settings(**{"hardware.processes": count})) for count in (2, 2, 1))
    queue, status = RunQueue(store.root), Manager(store).executor.status
    queue.set_limit(3)
    queue.add(training.id)
    assert queue.take(training.id)
    training.write_status(training.status().changed(state="running", process=this_process()))
    queue.add(pair.id)
    assert status(pair) == "Waits for room for its 2 processes."
    queue.remove(pair.id)
    queue.add(single.id)
    assert status(single) == "About to start."
    queue.set_limit(2)
    assert status(single) == "Waits for one of 2 runs to finish."


def test_a_run_with_two_processes_waits_for_neighboring_places(store):
    middle, pair = store.create(settings()), store.create(settings(**{"hardware.processes": 2}))
    queue = RunQueue(store.root)
    queue.set_limit(3)
    queue.add(middle.id)
    assert queue.take(middle.id, 1)
    middle.write_status(middle.status().changed(state="running", process=this_process()))
    queue.add(pair.id)
    with file_lock(store.root / "training-2.lock"):
        assert Manager(store).executor.status(pair) == "Waits for 2 neighboring places."
    assert Manager(store).executor.status(pair) == "About to start."


def test_no_helper_starts_for_what_a_command_has_queued_nor_again_and_again_if_it_cannot(store, monkeypatch):
    """The command may be suspended."""
    tried = []
    theirs, ours = store.create(settings()), store.create(settings())
    queue = RunQueue(store.root)
    queue.set_limit(2)
    queue.add(theirs.id, process_facts(os.getppid()))
    queue.add(ours.id)

    def start(*arguments):
        tried.append(time.monotonic())
        return start_process(*arguments)

    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    monkeypatch.setattr(local, "start_process", start)
    monkeypatch.setattr(local, "TICK", 0.01)
    monkeypatch.setattr(local, "RETRY", 0.2)
    monkeypatch.setattr(local.Puller, "train_next", lambda *_: False)  # the first place is busy otherwise
    manager = Manager(store)
    manager.wake()
    assert not manager.join(timeout=0.5) and not tried
    queue.remove(theirs.id)
    manager.wake()
    until(lambda: len(tried) > 2)
    assert all(later - earlier >= local.RETRY for earlier, later in pairwise(tried))
    queue.remove(ours.id)
    manager.close()


@pytest.mark.long
def test_a_helper_ends_with_a_server_that_is_killed(store):
    code = (
        "import sys; from pathlib import Path; from expertnet.store.run_store import RunStore\n"
        "from expertnet.training.manager import Manager; from tests.support.small import settings\n"
        "manager = Manager(RunStore(Path(sys.argv[1]))); manager.set_limit(2)\n"
        "[manager.submit(settings(**{'training.epochs': 5000})) for _ in range(2)]; manager.join()"
    )
    server = subprocess.Popen([sys.executable, "-c", code, str(store.root)], cwd=Path(__file__).parents[2])
    until(lambda: len(store.list()) == 2 and all(run.metrics() for run in store.list()), server)
    pids = {run.status().pid for run in store.list()}
    server.kill()
    server.wait(LIMIT)
    until(lambda: not any(map(psutil.pid_exists, pids)))
    assert all(run.state == "interrupted" and can_resume(run) for run in store.list())
    after = Manager(store)
    assert after.training() == [] and after.queue.limit == 2
    after.close()
