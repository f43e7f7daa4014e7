"""Train a run in its own process (`hardware.own_process`), which outlives the server and can be killed.

The process runs `python -m expertnet.training.worker FOLDER`, where FOLDER is the run's.
"""

import signal
import sys
import threading
from pathlib import Path

import psutil

from expertnet.errors import RunError
from expertnet.store.queue import Entry, RunQueue
from expertnet.store.run import Run
from expertnet.training.lock import processes_of, train_in_turn, training_lock
from expertnet.training.process import TICK, interrupt_or_exit, start_process
from expertnet.training.stop import Stop
from expertnet.utils.processes import is_alive, this_process


def train_in_worker(run: Run, leave: threading.Event, starting: threading.Lock) -> bool:
    """Start the process of a run if it is at the head of the queue and a place is free, and return whether it was.

    No other thread of this process starts one while it holds `starting`. Returns when the process has ended or `leave` is set.
    Raises RunError if the process ended before it could train.
    """
    queue, unclaimed = RunQueue(run.path.parent), Entry(run=run.id)
    with starting, training_lock(queue.root, queue.limit, processes_of(run)) as place:
        if place is None or queue.head() != unclaimed:
            return False
        process = start_process("expertnet.training.worker", str(run.path.resolve()), log=run.path / "log.txt")
        # until the process has claimed the run, no other server may start one
        while process.poll() is None and unclaimed in queue.entries() and not leave.wait(TICK):
            pass
    while process.poll() is None and not leave.wait(TICK):
        pass
    if process.returncode is None:
        process.returncode = 0  # it runs on, and Popen would warn about that
    elif process.returncode and run.written_status().state == "queued":
        raise RunError(
            f"The training process ended before it started (exit status {process.returncode}). The log has the details."
        )
    return True


def can_force_stop(run: Run) -> bool:
    """Return whether a run trains in its own process on this host, so that killing it harms nothing else."""
    status = run.status()
    elsewhere = status.is_here and status.pid != this_process().pid
    return status.own_process and status.training and elsewhere and is_alive(status)


def force_stop(run: Run) -> None:
    """Kill the process of a run, which keeps its last completed epoch. Raises RunError if it has no own process."""
    if not can_force_stop(run):
        raise RunError(f"Run {run.title} does not train in its own process on this machine. Stop it instead.")
    psutil.Process(run.status().pid).kill()
    run.log("The training process was killed.")


def main(folder: str) -> None:
    stop = Stop()
    signal.signal(signal.SIGTERM, lambda *_: interrupt_or_exit(stop))
    signal.signal(signal.SIGINT, lambda *_: stop.interrupt())
    train_in_turn(Run(Path(folder)), stop, own_process=True)


if __name__ == "__main__":
    main(sys.argv[1])
