"""Train a run in its own process (`hardware.own_process`), which outlives the server and can be killed.

The process runs `python -m expertnet.training.worker FOLDER`, where FOLDER is the run's.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Protocol

import psutil

from expertnet.errors import RunError
from expertnet.store.queue import Entry, RunQueue
from expertnet.store.run import Run
from expertnet.training.lock import TICK, train_in_turn, training_lock
from expertnet.training.stop import Stop
from expertnet.utils.processes import is_alive, process_facts, this_process


def train_in_worker(run: Run, leave: threading.Event, starting: threading.Lock) -> bool:
    """Start the process of a run if it is at the head of the queue and a place is free, and return whether it was.

    No other thread of this process starts one while it holds `starting`. Returns when the process has ended or `leave` is set.
    Raises RunError if the process ended before it could train.
    """
    queue, unclaimed = RunQueue(run.path.parent), Entry(run=run.id)
    with starting, training_lock(queue.root, queue.limit) as place:
        if place is None or queue.head() != unclaimed:
            return False
        process = start_process("worker", str(run.path.resolve()), log=run.path / "log.txt")
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


def start_process(
    module: str, *arguments: str, log: Path | None = None, tells: bool = False
) -> subprocess.Popen[bytes]:
    """Start a module of this package in a process of its own. Its standard error, such as a crash, goes to the log if given.

    The caller reads the output of one that `tells`. Raises RunError if that fails.
    """
    # the working directory stays, because relative paths such as EXPERTNET_DATA count from it; -P keeps its modules out
    paths = [str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
    try:
        with log.open("ab") if log else nullcontext() as errors:
            return subprocess.Popen(
                [sys.executable, "-P", "-m", f"expertnet.training.{module}", *arguments],
                env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if tells else subprocess.DEVNULL,
                stderr=errors,
                start_new_session=True,  # Ctrl-C in the server's terminal does not stop it
            )
    except OSError as error:
        raise RunError(
            f"The training process could not start ({error.strerror}). Close other programs, or start the run again "
            "with `hardware.own_process` off."
        ) from None


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


class Interruptible(Protocol):
    def interrupt(self) -> None: ...


def interrupt_or_exit(stop: Interruptible, seconds: float = 4.0) -> None:
    """Interrupt a training, and exit the process if that takes longer. For SIGTERM."""
    stop.interrupt()
    timer = threading.Timer(seconds, os._exit, (128 + signal.SIGTERM,))
    timer.daemon = True
    timer.start()


def end_with(pid: int, stop: Interruptible) -> bool:
    """Interrupt a training when this process gets SIGTERM or the one with that pid ends. Returns False if it has ended."""
    try:
        server = process_facts(pid)
    except psutil.Error:
        return False
    signal.signal(signal.SIGTERM, lambda *_: interrupt_or_exit(stop))

    def watch() -> None:
        while is_alive(server):
            time.sleep(TICK)
        interrupt_or_exit(stop)

    threading.Thread(target=watch, name="watch", daemon=True).start()
    return True


def main(folder: str) -> None:
    stop = Stop()
    signal.signal(signal.SIGTERM, lambda *_: interrupt_or_exit(stop))
    signal.signal(signal.SIGINT, lambda *_: stop.interrupt())
    train_in_turn(Run(Path(folder)), stop, own_process=True)


if __name__ == "__main__":
    main(sys.argv[1])
