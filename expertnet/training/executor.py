"""What trains the runs of a store: the interface, behind which there may be one computer or many."""

import threading
import time
from abc import ABC, abstractmethod
from pathlib import Path

import torch

from expertnet.store.queue import RunQueue
from expertnet.store.run import Run
from expertnet.training.early_stop import early_end
from expertnet.training.process import TICK
from expertnet.training.stop import stop_run


class Executor(ABC):
    """Trains the runs that are submitted, as many at once as there is room for. Any thread may call its methods.

    All that must survive the process is in the store: the queue, the status of each run, and requests to stop.
    """

    def __init__(self, root: Path) -> None:
        self.queue, self.leave = RunQueue(root), threading.Event()
        self.changed = threading.Condition()  # notified when a run has ended here

    def submit(self, run: Run) -> None:
        """Queue a run in state "queued"."""
        self.queue.add(run.id)
        self.wake()

    @abstractmethod
    def status(self, run: Run) -> str:
        """Say in a sentence where a run trains, or why it waits; "" if it does neither."""

    def stop(self, run: Run, discard: bool = False) -> None:
        """Stop a run that trains or waits in any process. With `discard`, it then moves to the trash. Raises RunError."""
        stop_run(run, discard)

    def restarts(self, run: Run) -> bool:
        """Return whether a run that was interrupted trains again without being asked to."""
        return False

    def ended(self, run: Run) -> str:
        """Say in a sentence why a run ended before its last epoch; "" if it did not."""
        status = run.status()
        if status.state == "interrupted":
            return "The training process ended early: it was killed, or the app or the computer was stopped."
        if status.ended_early and run.has_settings:
            return early_end(run.settings().training, run.metrics())
        return status.error or ("You stopped it." if status.state == "stopped" else "")

    @property
    def slots(self) -> int:
        """How many runs may train at once."""
        return self.queue.limit

    @property
    def gpus(self) -> int:
        """How many NVIDIA GPUs the processes of one run can have."""
        return torch.cuda.device_count()

    @property
    def devices(self) -> tuple[str, ...]:
        """The devices that a run can ask for."""
        gpus = (f"cuda:{number}" for number in range(self.gpus))
        return ("auto", "cpu", *gpus, *(["mps"] if torch.backends.mps.is_available() else []))

    @property
    def room(self) -> str:
        """What decides how many runs train at once, in a sentence; "" if the limit of the queue does."""
        return ""

    @abstractmethod
    def wake(self) -> None:
        """Look for work. An earlier process may have left some."""

    @abstractmethod
    def is_done(self, run_id: str | None = None) -> bool:
        """Return whether this executor no longer queues or trains a run (by default: any)."""

    def join(self, run_id: str | None = None, timeout: float | None = None) -> bool:
        """Wait until this executor no longer queues or trains a run (by default: any). Returns False after a timeout."""
        end = None if timeout is None else time.monotonic() + timeout
        with self.changed:
            while not self.is_done(run_id):  # what another process trains ends without a notice
                if end is not None and time.monotonic() > end:
                    return False
                self.changed.wait(TICK)
        return True

    @abstractmethod
    def close(self) -> None:
        """Interrupt what trains here. Its last completed epochs are kept."""
