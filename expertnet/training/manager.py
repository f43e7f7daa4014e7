"""Train queued runs in the background of a server.

Pages ask the manager to start and stop runs, and read everything else from the store.
"""

import atexit
import threading
import traceback
from contextlib import suppress
from functools import cache
from pathlib import Path

from expertnet.errors import UserError
from expertnet.settings.schema import Settings
from expertnet.store.queue import RunQueue
from expertnet.store.run import Run
from expertnet.store.run_store import RunStore
from expertnet.store.status import ACTIVE_STATES
from expertnet.training.lock import TICK, train_if_next
from expertnet.training.start import check_can_start, prepare_resume
from expertnet.training.stop import Stop, stop_run
from expertnet.training.worker import train_in_worker
from expertnet.utils.files import os_error_sentence

CLOSE_WITHIN = 4.0  # seconds; a run that takes longer to stop counts as interrupted


class Manager:
    """Trains the runs in the queue of a store in order, one at a time. Any thread may call its methods.

    Other servers and command lines may share the store: the queue and the training lock are on disk.
    """

    def __init__(self, store: RunStore | None = None) -> None:
        self.store = store or RunStore()
        self.queue = RunQueue(self.store.root)
        self._stop, self._leave = Stop(), threading.Event()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def submit(self, settings: Settings, *, preset: str = "", name: str = "") -> Run:
        """Queue a new run and return it. Raises SettingsError or DatasetError if it cannot start."""
        check_can_start(settings)
        run = self.store.create(settings, preset, name)
        self._enqueue(run)
        return run

    def resume(self, run: Run, epochs: int | None = None) -> Run:
        """Queue a run to resume from its last completed epoch. A finished run needs more `epochs`, in total."""
        prepare_resume(run, epochs)
        self._enqueue(run)
        return run

    def _enqueue(self, run: Run) -> None:
        self.queue.add(run.id)
        self.wake()

    def stop(self, run: Run, discard: bool = False) -> None:
        """Stop a run that trains or waits in any process on the store. With `discard`, it then moves to the trash."""
        stop_run(run, discard)

    def pause(self, paused: bool) -> None:
        """Pause or continue the queue. A run that already trains is not affected."""
        self.queue.pause(paused)
        self.wake()

    def training(self) -> Run | None:
        """Return the run of this store that trains now, in any process."""
        run_id = self.queue.training
        run = Run(self.store.root / run_id) if run_id else None
        return run if run and run.state in ACTIVE_STATES else None

    def waiting(self) -> list[Run]:
        """Return the runs in the queue, in order."""
        runs = (Run(self.store.root / run_id) for run_id in self.queue.ids())
        return [run for run in runs if run.path.is_dir()]

    def wake(self) -> None:
        """Start the training thread if the queue has work. An earlier server may have left some."""
        with self._changed:
            if self._thread is None and not self._leave.is_set() and self._has_work():
                self._thread = threading.Thread(target=self._work, name="training", daemon=True)
                self._thread.start()

    def join(self, run_id: str | None = None, timeout: float | None = None) -> bool:
        """Wait until this manager no longer queues or trains a run (by default: any). Returns False after a timeout."""

        def is_done() -> bool:
            return self._thread is None or (
                run_id is not None and run_id not in (*self.queue.ids(), self.queue.training)
            )

        with self._changed:
            return self._changed.wait_for(is_done, timeout)

    def close(self) -> None:
        """Interrupt the training of this process, which ends. Its last completed epoch is kept."""
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
                if not self._train_next():
                    self._leave.wait(TICK)
        except OSError:  # the store can no longer be written, so the terminal is the only place for the error
            traceback.print_exc()
        finally:
            with self._changed:
                self._thread = None
                self._changed.notify_all()

    def _train_next(self) -> bool:
        """Train the run at the head of the queue, and return whether it was this server's turn. No error ends the thread."""
        head = self.queue.head()
        if head is None or head.owner:
            return False
        run, self._stop = Run(self.store.root / head.run), Stop()
        if self._leave.is_set():  # close() may have interrupted the previous Stop
            self._stop.interrupt()
        try:
            if run.has_settings and run.settings().hardware.own_process:
                return train_in_worker(run, self._leave)
            return train_if_next(run, self._stop) is not None
        except Exception as error:
            if not isinstance(error, UserError):
                traceback.print_exc()
            with suppress(OSError):  # this run's folder can no longer be written, but the next one's may be
                _give_up(run, error)
            self.queue.remove(run.id)
            return True


def _give_up(run: Run, error: Exception) -> None:
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


def manager(store: RunStore | None = None) -> Manager:
    """Return this process's manager of a store, and start it if there is work."""
    found = _manager((store or RunStore()).root.resolve())
    found.wake()
    return found


@cache
def _manager(root: Path) -> Manager:
    created = Manager(RunStore(root))
    atexit.register(created.close)
    return created
