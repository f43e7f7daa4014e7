"""Train a run in its own process (`hardware.own_process`), which outlives the server and can be killed.

The process runs `python -m expertnet.training.worker FOLDER`, where FOLDER is the run's.
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
from expertnet.training.lock import TICK, train_in_turn
from expertnet.training.stop import Stop
from expertnet.utils.processes import is_alive, this_process


def start_worker(run: Run) -> subprocess.Popen[bytes]:
    """Start the process of a run. Its standard error, such as a crash of the interpreter, goes to the run's log."""
    with (run.path / "log.txt").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "expertnet.training.worker", str(run.path.resolve())],
            cwd=Path(__file__).parents[2],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=log,
            start_new_session=True,  # Ctrl-C in the server's terminal does not stop it
        )


def wait_for_worker(process: subprocess.Popen[bytes], run: Run, leave: threading.Event) -> None:
    """Wait until the process has ended or `leave` is set. The run has failed if the process ended before it trained."""
    while process.poll() is None:
        if leave.wait(TICK):
            process.returncode = 0  # it runs on, and Popen would warn about that
            return
    if run.path.exists() and run.state == "queued" and run.id not in RunQueue(run.path.parent).ids():
        reason = (
            f"The training process ended before it started (exit status {process.returncode}). The log has the details."
        )
        run.write_status(run.status().changed(state="failed", error=reason, error_kind="other"))


def can_force_stop(run: Run) -> bool:
    """Return whether a run trains in its own process on this host, so that killing it harms nothing else."""
    status = run.status()
    here = this_process()
    return bool(
        status.own_process
        and status.state in TRAINING_STATES
        and status.host == here.host
        and status.pid != here.pid
        and is_alive(status)
    )


def force_stop(run: Run) -> None:
    """Kill the process of a run, which keeps its last completed epoch. Raises RunError if it has no own process."""
    if not can_force_stop(run):
        raise RunError(f"Run {run.title} does not train in its own process on this machine. Stop it instead.")
    psutil.Process(run.status().pid).kill()
    run.log("The training process was killed.")


def interrupt_or_exit(stop: Stop, seconds: float = 4.0) -> None:
    """Interrupt a training, and exit the process if that takes longer. For SIGTERM."""
    stop.interrupt()
    timer = threading.Timer(seconds, os._exit, (128 + signal.SIGTERM,))
    timer.daemon = True
    timer.start()


def main(folder: str) -> None:
    stop = Stop()
    signal.signal(signal.SIGTERM, lambda *_: interrupt_or_exit(stop))
    signal.signal(signal.SIGINT, lambda *_: stop.interrupt())
    run = Run(Path(folder))
    run.write_status(run.status().changed(process=this_process(), own_process=True))
    train_in_turn(run, stop)


if __name__ == "__main__":
    main(sys.argv[1])
