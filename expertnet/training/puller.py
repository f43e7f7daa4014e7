"""Train what waits in a queue, run after run, in this process.

A server does so in a thread. For further trainings at once it starts helpers, which end with it:
`python -m expertnet.training.puller STORE PID`, where PID is the server's.
"""

import sys
import threading
import time
import traceback
from contextlib import suppress
from pathlib import Path
from threading import Lock

from expertnet.errors import UserError
from expertnet.store.queue import RunQueue
from expertnet.store.run import Run
from expertnet.training.lock import train_if_next
from expertnet.training.process import TICK, end_with
from expertnet.training.stop import Stop
from expertnet.training.worker import train_in_worker
from expertnet.utils.files import os_error_sentence

IDLE = 2.0  # seconds without work after which a helper ends; starting one takes longer than most pauses of a sweep


class Puller:
    """Trains the run at the head of a queue when it is called, unless a process owns it.

    It trains runs in this process if it `trains`, and those that want their own process (`hardware.own_process`) if it `starts`.
    """

    def __init__(self, root: Path, leave: threading.Event, trains: bool = True, starts: bool = True) -> None:
        self.queue, self.leave, self._trains, self._starts = RunQueue(root), leave, trains, starts
        self._stop = Stop()

    def interrupt(self) -> None:
        """Interrupt the run in training, and take no other."""
        self.leave.set()
        self._stop.interrupt()

    def train_next(self, starting: Lock) -> bool:
        """Train the run at the head of the queue, and return whether it was this process's turn. Raises nothing.

        A process for a run is started while `starting` is held.
        """
        head = self.queue.head()
        if head is None or head.owner:
            return False
        run, self._stop = Run(self.queue.root / head.run), Stop()
        if self.leave.is_set():  # interrupt() may have met the previous Stop
            self._stop.interrupt()
        try:
            if run.has_settings and run.settings().hardware.own_process:
                return self._starts and train_in_worker(run, self.leave, starting)
            return self._trains and train_if_next(run, self._stop, own_process=not self._starts) is not None
        except Exception as error:
            if not isinstance(error, UserError):
                traceback.print_exc()
            with suppress(OSError):  # this run's folder can no longer be written, but the next one's may be
                give_up(run, error)
            self.queue.remove(run.id)
            return True


def give_up(run: Run, error: Exception) -> None:
    """Say in the log of a run what it met. It has failed if that was before it trained."""
    reason = f"Training failed with an unexpected error ({type(error).__name__}: {error})."
    if isinstance(error, UserError):
        reason = str(error)
    elif isinstance(error, OSError):
        reason = os_error_sentence(error)
    status = run.written_status()
    if status.state == "queued":
        run.write_status(status.changed(state="failed", error=reason, error_kind="other"))
    run.log(reason)


def help_server(root: Path, pid: int) -> None:
    """Train what waits until nothing does, or until the server ends."""
    puller, starting, busy = Puller(root, threading.Event(), starts=False), Lock(), time.monotonic()
    if not end_with(pid, puller):
        return
    while not puller.leave.is_set() and time.monotonic() - busy < IDLE:
        if puller.train_next(starting):
            busy = time.monotonic()
        else:
            puller.leave.wait(TICK)


if __name__ == "__main__":
    help_server(Path(sys.argv[1]), int(sys.argv[2]))
