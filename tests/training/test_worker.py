"""Trainings in processes of their own: however they start, one of them trains the run, and only while it is queued."""

import os
import subprocess
import sys

import psutil
import pytest

from expertnet.errors import RunError
from expertnet.training import worker
from expertnet.training.manager import Manager
from expertnet.training.process import start_process
from tests.support.hosts import on_another_host
from tests.support.small import LIMIT, can_resume, settings, until

OWN = {"hardware.own_process": True}


def processes(run):
    """Return the living processes of a run."""
    children = [child for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE]
    return [child for child in children if str(run.path) in child.cmdline()]


def halted(run, *others):
    """Wait for another process of a run, halt it before it can look at the queue, and return it."""
    until(lambda: set(processes(run)) - set(others))
    (process,) = set(processes(run)) - set(others)
    process.suspend()
    return process


@pytest.mark.slow
def test_a_process_finds_the_data_where_the_server_does(tmp_path, monkeypatch):
    """It runs modules of this package alone, whatever lies in the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EXPERTNET_DATA", "data")
    (tmp_path / "json.py").write_text("raise SystemExit(3)")
    code = "import json, sys; from expertnet.data.cache import data_root; sys.stderr.write(str(data_root().resolve()))"
    real = subprocess.Popen

    def popen(command, **values):
        return real([*command[: command.index("-m")], "-c", code], **values)

    monkeypatch.setattr(subprocess, "Popen", popen)
    assert start_process("expertnet.training.worker", log=tmp_path / "log.txt").wait(LIMIT) == 0
    assert (tmp_path / "log.txt").read_text() == str(tmp_path / "data")


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
        assert [one.id for one in second.training()] == [run.id]
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


@pytest.mark.parametrize(
    ("program", "reason"), [("/bin/false", "ended before it started"), ("/missing", "could not start (No such file")]
)
def test_a_process_that_cannot_begin_fails_its_run_and_the_next_one_trains(manager, monkeypatch, program, reason):
    monkeypatch.setattr(sys, "executable", program)
    manager.pause(True)
    run, after = manager.submit(settings(**OWN)), manager.submit(settings())
    manager.pause(False)
    assert manager.join(timeout=LIMIT)
    assert run.state == "failed" and reason in run.status().error and reason in run.log_tail() and can_resume(run)
    assert manager.queue.ids() == [] and after.state == "finished"


@pytest.mark.slow
def test_a_run_that_is_stopped_while_its_process_starts_does_not_train(manager):
    run = manager.submit(settings(**OWN))
    process = halted(run)
    manager.stop(run)
    process.resume()
    assert manager.join(timeout=LIMIT) and not processes(run)
    assert run.state == "stopped" and not run.metrics() and manager.queue.ids() == []


@pytest.mark.slow
def test_a_process_that_waits_keeps_its_place_when_another_host_changes_the_queue(manager, store):
    run = manager.submit(settings(**OWN))
    process = halted(run)
    manager.pause(True)
    process.resume()
    until(lambda: manager.queue.entries()[0].owner)
    add = "import sys; from pathlib import Path; from expertnet.store.queue import RunQueue; RunQueue(Path(sys.argv[1])).add('b')"
    on_another_host(add, store.root)
    assert manager.queue.ids() == [run.id, "b"] and run.state == "queued"
    manager.stop(run)
    until(lambda: not processes(run))
    assert run.state == "stopped" and manager.queue.ids() == ["b"]


@pytest.mark.long
def test_a_server_that_ends_while_the_process_starts_leaves_one_training(store):
    first, second = Manager(store), Manager(store)
    run = first.submit(settings(**OWN))
    early = halted(run)
    first.close()
    second.wake()
    late = halted(run, early)
    early.resume()
    until(lambda: run.state == "finished")
    late.resume()
    assert second.join(timeout=LIMIT) and not processes(run)
    second.close()
    assert run.state == "finished" and run.log_tail().count("Started") == 1
