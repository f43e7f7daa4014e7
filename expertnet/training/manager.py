"""Training in the background of a server.

In this module: Manager (one training thread, which works off the queue of a store), manager(), the process's one for a store,
refuse_what_cannot_start and prepare_resume. Nothing here knows of a browser: pages ask the manager to start and stop, and
read the store for the rest.
"""

from __future__ import annotations

import atexit
import subprocess
import threading
import traceback
from functools import cache
from pathlib import Path

from expertnet.data.custom import known_class_count
from expertnet.data.datasets import refuse_if_missing
from expertnet.errors import RunError
from expertnet.network.cost import refuse_if_too_large
from expertnet.settings.fields import settings_from_dict
from expertnet.settings.schema import Settings
from expertnet.store.checks import resume_fault
from expertnet.store.queue import RunQueue
from expertnet.store.run import Run
from expertnet.store.run_store import RunStore
from expertnet.store.status import ACTIVE_STATES, Before
from expertnet.store.trash import move_to_trash
from expertnet.training import worker
from expertnet.training.lock import LOOK_EVERY, holding
from expertnet.training.runner import Stop, run_training
from expertnet.training.tensorboard import refuse_without_tensorboard
from expertnet.utils.processes import process_facts, this_process

CLOSE_WITHIN = 4.0  # seconds; then the process ends all the same, and the run counts as interrupted


class Manager:
    """Trains what waits in the queue of a store, one run at a time and in order. Every method may be called by any thread.

    Other servers and command lines on the store take part: whose turn it is, is on the disk (turns.py).
    """

    def __init__(self, store: RunStore | None = None) -> None:
        self.store = store or RunStore()
        self.queue = RunQueue(self.store.root)
        self._stop, self._leave = Stop(), threading.Event()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def submit(self, settings: Settings, *, preset: str = "", name: str = "") -> Run:
        """Queues a new run and returns it at once. Raises SettingsError where it could not even start."""
        refuse_what_cannot_start(settings)
        run = self.store.create(settings, preset, name)
        self._enqueue(run)
        return run

    def resume(self, run: Run, epochs: int | None = None) -> Run:
        """Queues a run that has ended, to go on after its last whole epoch; with more epochs, one that has finished too."""
        prepare_resume(run, epochs)
        self._enqueue(run)
        return run

    def _enqueue(self, run: Run) -> None:
        self.queue.add(run.id)
        self.wake()

    def stop(self, run: Run, discard: bool = False) -> None:
        """Asks a run to stop, wherever on the store it trains or waits. With discard, it goes to the trash when it has stopped."""
        if self.queue.remove(run.id):
            run.leave_queue("stopped")
            if discard:
                move_to_trash(run)
        else:
            run.ask_to_stop(discard)

    def pause(self, paused: bool) -> None:
        """Whether nothing new is begun; what trains already goes on."""
        self.queue.pause(paused)
        self.wake()

    def training(self) -> Run | None:
        """The run of this store that trains now, in whatever process."""
        run_id = self.queue.training
        return (
            next((run for run in [Run(self.store.root / run_id)] if run.state in ACTIVE_STATES), None)
            if run_id
            else None
        )

    def waiting(self) -> list[Run]:
        """The runs in the queue, in order."""
        return [run for run in map(Run, (self.store.root / run_id for run_id in self.queue.ids())) if run.path.is_dir()]

    def wake(self) -> None:
        """Has the training thread look at the queue, which a server that was there before may have left."""
        with self._changed:
            if self._thread is None and not self._leave.is_set() and self._has_work():
                self._thread = threading.Thread(target=self._work, name="training", daemon=True)
                self._thread.start()

    def join(self, run_id: str | None = None, timeout: float | None = None) -> bool:
        """Waits until a run (or all) is no longer queued or trained by this manager; False when the time ran out."""
        with self._changed:
            return self._changed.wait_for(
                lambda: self._thread is None or (run_id is not None and run_id not in self._busy()), timeout
            )

    def _busy(self) -> list[str | None]:
        return [*self.queue.ids(), self.queue.training]

    def close(self) -> None:
        """Interrupts what this process trains, keeping its last whole epoch; called when the process ends."""
        self._leave.set()
        self._stop.interrupt()
        thread = self._thread
        if thread:
            thread.join(CLOSE_WITHIN)

    def _has_work(self) -> bool:
        return not self.queue.paused and any(entry.owner is None for entry in self.queue.entries())

    def _work(self) -> None:
        try:
            while True:
                with self._changed:
                    self._changed.notify_all()
                    if self._leave.is_set() or not self._has_work():
                        self._thread = None
                        return
                with holding(self.store.root) as mine:
                    taken = self.queue.take() if mine else None
                    process = self._begin(taken) if taken else None
                if process and taken:
                    worker.wait_for(process, Run(self.store.root / taken), self._leave)
                elif not taken:
                    self._leave.wait(LOOK_EVERY)
        except OSError:  # the store cannot be written any more: there is nobody to tell
            traceback.print_exc()
        finally:
            with self._changed:
                self._thread = None
                self._changed.notify_all()

    def _begin(self, run_id: str) -> subprocess.Popen[bytes] | None:
        """Trains a run that was taken, or starts its process and hands its place in the queue on to it."""
        run = Run(self.store.root / run_id)
        try:
            if run.has_settings and run.settings().hardware.own_process:
                process = worker.start(run)
                self.queue.add_first(run_id, process_facts(process.pid))
                return process
            self._stop = Stop()
            if self._leave.is_set():  # asked between the two lines above
                self._stop.interrupt()
            run_training(run, self._stop)
        except OSError:  # the run's folder cannot be written any more: the next run may fare better
            traceback.print_exc()
        finally:
            self.queue.done()
        return None


def refuse_what_cannot_start(settings: Settings) -> None:
    """Raises SettingsError or DatasetError for what can be known before a run exists.

    That is a dataset, a device or a package that is not there, and too little memory.
    """
    refuse_without_tensorboard(settings)
    refuse_if_missing(settings.data)
    refuse_if_too_large(settings, known_class_count(settings.data) or 10)


def prepare_resume(run: Run, epochs: int | None = None) -> None:
    """Marks a run as queued again, with another number of epochs if one is given. Raises RunError where it cannot go on."""
    status = run.status()
    if run.shipped:
        raise RunError(f"{run.title} came with ExpertNet Studio as an example and stays; start a run of your own.")
    if status.state in ACTIVE_STATES:
        raise RunError(f"Run {run.name} is {status.state} already.")
    damage = resume_fault(run)
    if damage:
        raise RunError(damage)
    settings, config = run.settings(), run.config()
    done = status.epoch or 0
    epochs = epochs or settings.training.epochs
    if done >= epochs and status.state == "finished":
        raise RunError(
            f"Run {run.name} has finished its last epoch ({done}); give a larger training.epochs to train it longer."
        )
    if epochs < done:
        raise RunError(f"Run {run.name} is past epoch {epochs} already: training.epochs takes at least {done}.")
    config = config | {"training": config["training"] | {"epochs": epochs}}
    refuse_if_missing(settings_from_dict(config).data)  # before anything is changed: what it has reached stays as it is
    run.forget_stop()
    run.write_config(config)
    run.write_status(
        status.changed(
            process=this_process().beating(),
            state="queued",
            epochs=epochs,
            own_process=False,
            error=None,
            error_kind=None,
            before=Before(
                state=status.state, epochs=settings.training.epochs, error=status.error, error_kind=status.error_kind
            ),
        )
    )


def manager(store: RunStore | None = None) -> Manager:
    """The process's one manager of a store, awake if there is something to train."""
    made = _manager((store or RunStore()).root.resolve())
    made.wake()
    return made


@cache
def _manager(root: Path) -> Manager:
    made = Manager(RunStore(root))
    atexit.register(made.close)
    return made
