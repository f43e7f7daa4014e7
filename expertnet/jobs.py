"""Training in the background.

In this module: Manager (one training thread and its queue), manager(), the process's one, refuse_what_cannot_start and
prepare_resume. Nothing here knows of a browser: pages ask the manager to start and stop, and read the store for the rest.
"""

from __future__ import annotations

import atexit
import threading
import time
import traceback
from collections import deque
from functools import cache

from expertnet.config import Settings
from expertnet.datasets import known_class_count, refuse_if_missing
from expertnet.estimate import refuse_if_too_large
from expertnet.processes import this_process
from expertnet.runs import ACTIVE_STATES, Run, RunError, RunStore
from expertnet.scalars import refuse_without_tensorboard
from expertnet.training import run_training


class Manager:
    """One training at a time in a background thread, the rest queued in order. Every method may be called by any thread."""

    def __init__(self) -> None:
        self._queue: deque[Run] = deque()
        self._active: Run | None = None
        self._stop = threading.Event()
        self._discard: set[str] = set()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closing = False

    def submit(self, settings: Settings, *, preset: str = "", name: str = "", store: RunStore | None = None) -> Run:
        """Queues a new run and returns it at once. Raises SettingsError where it could not even start."""
        refuse_what_cannot_start(settings)
        run = (store or RunStore()).create(settings, preset, name)
        self._enqueue(run)
        return run

    def resume(self, run: Run, epochs: int | None = None) -> Run:
        """Queues a run that was stopped, interrupted or failed, to go on after its last whole epoch."""
        prepare_resume(run, epochs)
        self._enqueue(run)
        return run

    def stop(self, run: Run, discard: bool = False) -> None:
        """Asks a run to stop: its state says so at once. With discard, it is deleted when it has stopped."""
        with self._changed:
            if discard:
                self._discard.add(run.id)
            if self._active and self._active.id == run.id:
                self._stop.set()
            elif run.id in self.queue():
                self._queue = deque(waiting for waiting in self._queue if waiting.id != run.id)
                run.write_status(run.status() | {"state": "stopped"})
                self._delete_discarded(run)
            else:
                self._discard.discard(run.id)
                raise RunError(f"Run {run.name} does not run in this server, so it cannot be stopped from here.")

    def active(self) -> str | None:
        return self._active.id if self._active else None

    def queue(self) -> list[str]:
        return [run.id for run in self._queue]

    def join(self, run_id: str | None = None, timeout: float | None = None) -> bool:
        """Waits until a run (or all) is no longer queued or running; False when the time ran out."""

        def idle() -> bool:
            busy = [*self.queue(), *([self._active.id] if self._active else [])]
            return run_id not in busy if run_id else not busy

        with self._changed:
            return self._changed.wait_for(idle, timeout)

    def close(self) -> None:
        """Stops what runs, keeping its last whole epoch; called when the process ends."""
        with self._changed:
            self._closing = True
            self._stop.set()
            thread = self._thread
            self._changed.notify_all()
        if thread:
            thread.join(timeout=30)

    def _enqueue(self, run: Run) -> None:
        with self._changed:
            self._queue.append(run)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._work, name="training", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._closing)
                if self._closing:
                    return
                self._active = run = self._queue.popleft()
                self._stop.clear()
            try:
                run_training(run, self._stop)
            except OSError:  # the run's folder cannot be written any more: nobody to tell but the next run
                traceback.print_exc()
            with self._changed:
                self._active = None
                self._delete_discarded(run)
                self._changed.notify_all()

    def _delete_discarded(self, run: Run) -> None:
        if run.id in self._discard:
            self._discard.discard(run.id)
            run.move_to_trash()


def refuse_what_cannot_start(settings: Settings) -> None:
    """Raises SettingsError or DatasetError for what can be known before a run exists.

    That is a data set, a device or a package that is not there, and too little memory.
    """
    refuse_without_tensorboard(settings)
    refuse_if_missing(settings.data)
    refuse_if_too_large(settings, known_class_count(settings.data) or 10)


def prepare_resume(run: Run, epochs: int | None = None) -> None:
    """Marks a run as queued again, with another number of epochs if one is given. Raises RunError where it cannot go on."""
    status = run.status()
    if run.shipped:
        raise RunError(f"{run.title} came with ExpertNet Studio as an example and stays; start a run of your own.")
    if status["state"] in ACTIVE_STATES:
        raise RunError(f"Run {run.name} is {status['state']} already.")
    damage = run.resume_damage()
    if damage:
        raise RunError(damage)
    settings, config = run.settings(), run.config()
    done = status["epoch"] or 0
    epochs = epochs or settings.training.epochs
    if done >= epochs and status["state"] == "finished":
        raise RunError(
            f"Run {run.name} has finished its last epoch ({done}); give a larger training.epochs to train it longer."
        )
    if epochs < done:
        raise RunError(f"Run {run.name} is past epoch {epochs} already: training.epochs takes at least {done}.")
    refuse_if_missing(settings.data)  # before anything is changed: what it has reached stays as it is
    config = config | {"training": config["training"] | {"epochs": epochs}}
    run.write_config(config)
    run.write_status(
        status
        | this_process()
        | {
            "state": "queued",
            "epochs": epochs,
            "error": None,
            "error_kind": None,
            "heartbeat": time.time(),
            "test_accuracy": None,
            "test_accuracy_mirrored": None,
            "test_loss": None,
        }
    )


@cache
def manager() -> Manager:
    """The process's one manager."""
    made = Manager()
    atexit.register(made.close)
    return made
