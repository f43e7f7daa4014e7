"""The executor of one computer: a run in a thread of the server, and further ones in processes that end with the server."""

import os
import threading
import time
import traceback
from pathlib import Path

from expertnet.errors import RunError
from expertnet.store.run import Run
from expertnet.store.status import ACTIVE_STATES
from expertnet.training.executor import Executor
from expertnet.training.lock import processes_of, training_lock
from expertnet.training.process import TICK, start_process
from expertnet.training.puller import Puller
from expertnet.utils.text import counted

CLOSE_WITHIN = 4.0  # seconds; a run that takes longer to stop counts as interrupted
RETRY = 30.0  # seconds until the next helper starts after one that could not


class LocalExecutor(Executor):
    """Trains the runs in the queue of a store in order, as many at once as the queue allows.

    Other servers and command lines may share the store: the queue and the places are on disk.
    """

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self._starting = threading.Lock()
        self._threads: dict[int, threading.Thread] = {}  # the first trains here, each other one in a helper
        self._pullers: dict[int, Puller] = {}

    def status(self, run: Run) -> str:
        status, waiting, limit = run.status(), self.queue.ids(), self.queue.limit
        if status.training:
            where = "" if status.is_here else f" on {status.host}"
            apart = " in a process of its own" if status.own_process else ""
            return f"Trains{where}{apart}: {status.device}." if status.device else f"Starts{where}{apart}."
        if status.state != "queued":
            return ""
        if run.id in self.queue.training:  # taken a moment ago: it says so itself once it has begun
            return "About to start."
        if self.queue.paused:
            return "Waits because the queue is paused."
        if run.id in waiting[1:]:
            return f"Waits for {counted(waiting.index(run.id), 'run')} before it."
        processes = processes_of(run)
        if self._used() + min(processes, limit) > limit:
            if limit > 1 < processes:
                return f"Waits for room for its {processes} processes."
            return "Waits for the run in training." if limit == 1 else f"Waits for one of {limit} runs to finish."
        if processes > 1 and not self._has_room(run):
            return f"Waits for {processes} neighboring places."
        return "About to start."

    def wake(self) -> None:
        """Start the threads that are missing if the queue has work."""
        with self.changed:
            if self.leave.is_set() or not self.queue.has_work():
                return
            for number in set(range(self.queue.limit)) - set(self._threads):
                self._pullers[number] = Puller(self.queue.root, self.leave, trains=number == 0)
                name = f"training {number + 1}" if number else "training"
                self._threads[number] = threading.Thread(target=self._work, args=(number,), name=name, daemon=True)
                self._threads[number].start()

    def is_done(self, run_id: str | None = None) -> bool:
        return not self._threads or (run_id is not None and run_id not in (*self.queue.ids(), *self.queue.training))

    def close(self) -> None:
        self.leave.set()
        for puller in list(self._pullers.values()):
            puller.interrupt()
        end = time.monotonic() + CLOSE_WITHIN
        for thread in list(self._threads.values()):
            thread.join(max(end - time.monotonic(), 0))

    def _work(self, number: int) -> None:
        try:
            while self._goes_on(number):
                trained = self._pullers[number].train_next(self._starting)
                if not trained and not (number and self._help()):
                    self.leave.wait(TICK)
        except Exception:  # the store can no longer be written, so the terminal is the only place for the error
            traceback.print_exc()
            with self.changed:
                self._threads.pop(number, None)
                self.changed.notify_all()

    def _used(self) -> int:
        """Return how many processes train. Runs of a host that has ended stay taken, so their status tells."""
        taken = (Run(self.queue.root / run_id) for run_id in self.queue.training)
        return sum(processes_of(run) for run in taken if run.state in ACTIVE_STATES)

    def _has_room(self, run: Run) -> bool:
        with training_lock(self.queue.root, self.queue.limit, processes_of(run)) as place:
            return place is not None

    def _goes_on(self, number: int) -> bool:
        with self.changed:
            self.changed.notify_all()
            goes_on = self.queue.has_work() and number < self.queue.limit and not self.leave.is_set()
            if not goes_on:
                del self._threads[number]
            return goes_on

    def _help(self) -> bool:
        """Start a helper if there is work and room for it, and return whether it trained until it ended."""
        with self._starting:  # one after another, or a single run would start them all
            head = None if self.leave.wait(TICK) else self.queue.head()
            if head is None or head.owner:  # a helper may not train what a command has queued
                return False
            if not self._has_room(Run(self.queue.root / head.run)):
                return False
            try:
                helper = start_process("expertnet.training.puller", str(self.queue.root.resolve()), str(os.getpid()))
            except RunError:  # no memory or no processes left
                traceback.print_exc()
                helper = None
            while helper and helper.poll() is None and self.queue.has_work() and not self.leave.wait(TICK):
                if any(entry.owner and entry.owner.pid == helper.pid for entry in self.queue.taken()):
                    break
        while helper and helper.poll() is None and not self.leave.wait(TICK):
            pass
        if helper and helper.poll() is None:
            helper.terminate()
        if helper is None or helper.wait():
            self.leave.wait(RETRY)
        return True
