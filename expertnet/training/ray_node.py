"""What a node of a Ray cluster does for a task: it trains a run of the queue. This module imports no Ray."""

import math
import os
import signal
from pathlib import Path

from expertnet.settings.schema import HardwareSettings
from expertnet.store.queue import RunQueue
from expertnet.store.run import Run
from expertnet.store.status import Status
from expertnet.training.launcher import train
from expertnet.training.lock import run_lock
from expertnet.training.place import Place
from expertnet.training.process import TICK
from expertnet.training.puller import give_up
from expertnet.training.runner import settled
from expertnet.training.stop import Stop, leave_untrained
from expertnet.utils.processes import is_alive, this_process

Needs = tuple[float, float]  # CPUs and GPUs


def needed(run: Run, usual: Needs) -> Needs:
    """Return the CPUs and GPUs that a run needs."""
    hardware = run.settings().hardware if run.has_settings else HardwareSettings()
    gpus = 0.0 if hardware.device == "cpu" else usual[1]
    if hardware.processes == 1:
        return usual[0], gpus
    return usual[0] * hardware.processes, float(math.ceil(gpus) * hardware.processes)


def train_for_task(root: Path, task: str, usual: Needs, needs: Needs) -> None:
    """Train the first run of the queue that needs this much, or the one that the task trained when its node died.

    SIGINT, which a task gets when it is cancelled, interrupts the training.
    """
    queue, stop = RunQueue(root), Stop()
    before = signal.signal(signal.SIGINT, lambda *_: stop.interrupt())
    run_id = queue.take_for(task, lambda run_id: needed(Run(root / run_id), usual) == needs)
    try:
        if run_id and (root / run_id).is_dir():
            _train(Run(root / run_id), stop, Place(cpus=needs[0]))
    except Exception as error:
        give_up(Run(root / str(run_id)), error)
    finally:
        if run_id:
            queue.done(run_id)
        signal.signal(signal.SIGINT, before)


def _train(run: Run, stop: Stop, place: Place) -> None:
    # Ray may believe that a node is dead whose process still trains. This waits until that process has ended.
    with run_lock(run, stop) as mine:
        # The first of several processes outlives the task's for a few seconds, and writes that it was interrupted.
        while mine and _trains_apart(run.written_status()):
            mine = not stop.wait(TICK)
        status = run.written_status()
        if not mine and status.state == "queued":  # stopped while it waited
            leave_untrained(run, stop)
            return
        if not mine or (not status.active and status.state != "interrupted"):  # the run ended just before its node did
            return
        if status.state != "queued":
            run.log(f"The training on {status.host} ended early. Ray starts the run again, on {this_process().host}.")
        run.write_status(status.changed(process=this_process().beating(), own_process=False))
        status = train(run, stop, place=place)
    settled(run, status)


def _trains_apart(status: Status) -> bool:
    """Return whether another process trains the run. One on another computer counts as alive while its heartbeat is fresh."""
    return status.training and not (status.is_here and status.pid == os.getpid()) and is_alive(status)
