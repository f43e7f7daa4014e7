"""The thread of a server that advances the studio's sweeps. It puts trials into the queue, which the manager trains."""

import threading
import traceback
from contextlib import suppress
from functools import cache
from pathlib import Path

from expertnet.errors import UserError
from expertnet.store.run import Run
from expertnet.store.run_store import RunStore
from expertnet.sweeps.engine import advance
from expertnet.sweeps.sweep import ACTIVE, Sweep, sweep_folders
from expertnet.training.manager import manager
from expertnet.utils.files import os_error_sentence

TICK = 0.2  # seconds between two looks at the trials, which an end of one here brings forward


class Driver:
    """Advances the sweeps of a store that no command owns. Any number of servers may drive the same sweep."""

    def __init__(self, store: RunStore) -> None:
        self.store = store
        self._lock, self._leave = threading.Lock(), threading.Event()
        self._thread: threading.Thread | None = None

    def wake(self) -> None:
        """Start the thread if a sweep is active. An earlier server may have left some."""
        with self._lock:
            if self._thread is None and not self._leave.is_set() and self._active():
                self._thread = threading.Thread(target=self._work, name="sweeps", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """End the thread. The sweeps stay active, for the next server."""
        self._leave.set()
        thread = self._thread
        if thread:
            thread.join()

    def join(self, timeout: float | None = None) -> bool:
        """Wait until no sweep is active. Returns False after a timeout."""
        thread = self._thread
        if thread:
            thread.join(timeout)
        return not (thread and thread.is_alive())

    def _active(self) -> list[Sweep]:
        found = map(Sweep, sweep_folders(self.store))
        return [sweep for sweep in found if (status := sweep.written_status()).state in ACTIVE and not status.owner]

    def _work(self) -> None:
        try:
            self._drive()
        finally:  # after an error, wake() starts another thread
            with self._lock:
                if self._thread is threading.current_thread():
                    self._thread = None

    def _drive(self) -> None:
        seen: dict[str, tuple[list[Run], object]] = {}
        executor = manager(self.store).executor
        while not self._leave.is_set():
            with self._lock:
                sweeps = self._active()
                if not sweeps:
                    self._thread = None
                    return
            news, slots = False, executor.slots
            for sweep in sweeps:
                runs, before = seen.get(sweep.id, ([], None))
                progress = _progress(sweep, runs, slots)
                if progress != before:
                    # With the progress from before, because a trial that ends meanwhile must be noticed
                    seen[sweep.id] = _advance(sweep, slots), progress
                    manager(self.store).wake()
                    news = True
            if not news:
                with executor.changed:
                    executor.changed.wait(TICK)  # epochs, and what other processes train, bring no notice


def _progress(sweep: Sweep, runs: list[Run], slots: int) -> object:
    """Return what changes when a trial has completed an epoch or ended, or when more can train at once."""
    states = [(run.id, run.state, run.status().epoch) if run.path.is_dir() else run.id for run in runs]
    return sweep.written_status(), states, slots


def _advance(sweep: Sweep, slots: int) -> list[Run]:
    """Advance a sweep. An error ends it, not the thread."""
    try:
        return advance(sweep, slots)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        if isinstance(error, UserError):
            reason = str(error)
        elif isinstance(error, OSError):
            reason = os_error_sentence(error)
        else:
            traceback.print_exc()
        with suppress(OSError), sweep.locked():
            if sweep.written_status().state in ACTIVE:  # another server may have met the same
                sweep.end("failed", reason)
        return []


def driver(store: RunStore | None = None) -> Driver:
    """Return this process's driver of a store, and start it if a sweep is active."""
    with _making:
        found = _driver((store or RunStore()).root.resolve())
    found.wake()
    return found


_making = threading.Lock()  # or two threads could make one each


@cache
def _driver(root: Path) -> Driver:
    return Driver(RunStore(root))
