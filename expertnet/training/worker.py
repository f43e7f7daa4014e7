"""A training in a process of its own (hardware.own_process): it outlives the server that started it, and can be ended by force.

In this module: start, wait_for, end_by_force, and main, which that process runs: `python -m expertnet.training.worker FOLDER`,
the folder of the run. It writes the same files by the same code as a training in the server.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import psutil

from expertnet.errors import RunError
from expertnet.store.queue import RunQueue
from expertnet.store.run import Run
from expertnet.store.status import TRAINING_STATES
from expertnet.training.lock import train_in_turn
from expertnet.training.runner import Stop
from expertnet.utils.processes import is_alive, this_process

LOOK_EVERY = 0.5  # seconds


def start(run: Run) -> subprocess.Popen[bytes]:
    """Starts the process of a run. What it says besides, such as a crash of the interpreter, goes to the run's log."""
    with (run.path / "log.txt").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "expertnet.training.worker", str(run.path.resolve())],
            cwd=Path(__file__).parents[2],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=log,
            start_new_session=True,  # a Ctrl-C for the server is not for it
        )


def wait_for(process: subprocess.Popen[bytes], run: Run, leave: threading.Event) -> None:
    """Until the process has ended, or this one is asked to leave it. One that ended before it began has failed."""
    while process.poll() is None:
        if leave.wait(LOOK_EVERY):
            process.returncode = 0  # it is left running on purpose, which Popen would warn of
            return
    if run.path.exists() and run.state == "queued" and run.id not in RunQueue(run.path.parent).ids():
        sentence = (
            f"The process of this training ended before it began (status {process.returncode}); its log says more."
        )
        run.write_status(run.status().changed(state="failed", error=sentence, error_kind="other"))


def can_be_forced(run: Run) -> bool:
    """Whether a run trains in a process of its own on this host, so that ending it by force harms nothing else."""
    status = run.status()
    here = this_process()
    return bool(
        status.own_process
        and status.state in TRAINING_STATES
        and status.host == here.host
        and status.pid != here.pid
        and is_alive(status)
    )


def end_by_force(run: Run) -> None:
    """Kills the process of a run; its last whole epoch is kept. Raises RunError where it has none of its own."""
    if not can_be_forced(run):
        raise RunError(f"Run {run.title} does not train in a process of its own on this machine; stop it instead.")
    psutil.Process(run.status().pid).kill()
    run.log("Its process was ended by force.")


def end_in_time(stop: Stop, seconds: float = 4.0) -> None:
    """What SIGTERM does to a training: interrupted after the step in progress, or with the process where that takes long."""
    stop.interrupt()
    last = threading.Timer(seconds, os._exit, (128 + signal.SIGTERM,))
    last.daemon = True
    last.start()


def main(folder: str) -> None:
    stop = Stop()
    signal.signal(signal.SIGTERM, lambda *_: end_in_time(stop))
    signal.signal(signal.SIGINT, lambda *_: stop.interrupt())
    run = Run(Path(folder))
    run.write_status(run.status().changed(process=this_process(), own_process=True))
    train_in_turn(run, stop)


if __name__ == "__main__":
    main(sys.argv[1])
