"""The executor of one computer: a run in a thread of the server, and further ones in processes that end with the server."""

import os
import threading
import time
import traceback
from pathlib import Path

from expertnet.store.queue import RunQueue
from expertnet.store.run import Run
from expertnet.store.status import ACTIVE_STATES
from expertnet.training.early_stop import early_end
from expertnet.training.lock import TICK
from expertnet.training.puller import Puller
from expertnet.training.stop import stop_run
from expertnet.training.worker import start_process
from expertnet.utils.text import counted

CLOSE_WITHIN = 4.0  # seconds; a run that takes longer to stop counts as interrupted
RETRY = 30.0  # seconds until the next helper starts after one that could not


class LocalExecutor:
    """Trains the runs in the queue of a store in order, as many at once as the queue allows.

    Other servers and command lines may share the store: the queue and the places are on disk.
    """

    def __init__(self, root: Path) -> None:
        self._queue, self._leave = RunQueue(root), threading.Event()
        self._changed, self._starting = threading.Condition(), threading.Lock()
        self._threads: dict[int, threading.Thread] = {}  # the first trains here, each other one in a helper
        self._pullers: dict[int, Puller] = {}

    def submit(self, run: Run) -> None:
        self._queue.add(run.id)
        self.wake()

    def stop(self, run: Run, discard: bool = False) -> None:
        stop_run(run, discard)

    def status(self, run: Run) -> str:
        status, waiting, limit = run.status(), self._queue.ids(), self._queue.limit
        if status.training:
            where = "" if status.is_here else f" on {status.host}"
            apart = " in a process of its own" if status.own_process else ""
            return f"Trains{where}{apart}: {status.device}." if status.device else f"Starts{where}{apart}."
        if status.state != "queued":
            return ""
        if self._queue.paused:
            return "Waits because the queue is paused."
        if run.id in waiting[1:]:
            return f"Waits for {counted(waiting.index(run.id), 'run')} before it."
        if self._is_full():
            return "Waits for the run in training." if limit == 1 else f"Waits for one of {limit} trainings to end."
        return "About to start."

    def ended(self, run: Run) -> str:
        status = run.status()
        if status.state == "interrupted":
            return "The training process ended early: it was killed, or the app or the computer was stopped."
        if status.ended_early and run.has_settings:
            seconds = [row["seconds"] or 0.0 for row in run.metrics()]
            return early_end(run.settings().training, status.epoch, status.best_epoch or 0, seconds)
        return status.error or ("You stopped it." if status.state == "stopped" else "")

    def wake(self) -> None:
        """Start the threads that are missing if the queue has work."""
        with self._changed:
            if self._leave.is_set() or not self._queue.has_work():
                return
            for number in set(range(self._queue.limit)) - set(self._threads):
                self._pullers[number] = Puller(self._queue.root, self._leave, trains=number == 0)
                name = f"training {number + 1}" if number else "training"
                self._threads[number] = threading.Thread(target=self._work, args=(number,), name=name, daemon=True)
                self._threads[number].start()

    def join(self, run_id: str | None = None, timeout: float | None = None) -> bool:
        def is_done() -> bool:
            queue = self._queue
            return not self._threads or (run_id is not None and run_id not in (*queue.ids(), *queue.training))

        end = None if timeout is None else time.monotonic() + timeout
        with self._changed:
            while not is_done():  # what a helper trains ends without a notice
                if end is not None and time.monotonic() > end:
                    return False
                self._changed.wait(TICK)
        return True

    def close(self) -> None:
        self._leave.set()
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
                    self._leave.wait(TICK)
        except Exception:  # the store can no longer be written, so the terminal is the only place for the error
            traceback.print_exc()
            with self._changed:
                self._threads.pop(number, None)
                self._changed.notify_all()

    def _is_full(self) -> bool:
        """Return whether as many runs train as may. Those of a host that has ended stay taken, so their status tells."""
        taken = (Run(self._queue.root / run_id) for run_id in self._queue.training)
        return sum(run.state in ACTIVE_STATES for run in taken) >= self._queue.limit

    def _goes_on(self, number: int) -> bool:
        with self._changed:
            self._changed.notify_all()
            goes_on = self._queue.has_work() and number < self._queue.limit and not self._leave.is_set()
            if not goes_on:
                del self._threads[number]
            return goes_on

    def _help(self) -> bool:
        """Start a helper if there is work and room for it, and return whether it trained until it ended."""
        with self._starting:  # one after another, or a single run would start them all
            head = None if self._leave.wait(TICK) else self._queue.head()
            if head is None or head.owner or self._is_full():  # a helper may not train what a command has queued
                return False
            try:
                helper = start_process("puller", str(self._queue.root.resolve()), str(os.getpid()))
            except OSError:  # no memory or no processes left
                traceback.print_exc()
                self._leave.wait(RETRY)
                return True
            while helper.poll() is None and self._queue.has_work() and not self._leave.wait(TICK):
                if any(entry.owner and entry.owner.pid == helper.pid for entry in self._queue.taken()):
                    break
        while helper.poll() is None and not self._leave.wait(TICK):
            pass
        if helper.poll() is None:
            helper.terminate()
        if helper.wait():
            self._leave.wait(RETRY)
        return True
