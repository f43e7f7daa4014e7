"""The queue of runs that wait to train, on disk, for every server and command line that uses the store.

`queue.json` survives a restart. A process changes it while it holds `queue.lock`, which the system releases when the process ends.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock
from pydantic import BaseModel, ValidationError

from expertnet.utils.files import read_json, write_atomically
from expertnet.utils.processes import Process, is_alive, this_process


class Entry(BaseModel):
    """A run in the queue. Only its owner may train it. Without an owner, any server may."""

    run: str
    owner: Process | None = None  # a command line or a worker process

    @property
    def is_valid(self) -> bool:
        """Return whether the entry is valid. It is not if its owner has died."""
        return self.owner is None or is_alive(self.owner)


class _Contents(BaseModel):
    waiting: list[Entry] = []
    training: Entry | None = None  # taken from `waiting` by its owner, which trains it
    paused: bool = False


class RunQueue:
    """The queue of the store at `root`. A missing or damaged file counts as an empty queue."""

    def __init__(self, root: Path) -> None:
        self.root, self.path = root, root / "queue.json"

    def entries(self) -> list[Entry]:
        """Return the waiting runs, in order."""
        return [entry for entry in self._read().waiting if entry.is_valid]

    def ids(self) -> list[str]:
        return [entry.run for entry in self.entries()]

    @property
    def paused(self) -> bool:
        """Return whether no further run starts. A run that already trains continues."""
        return self._read().paused

    @property
    def training(self) -> str | None:
        """Return the id of the run in training, if the process that took it is alive."""
        training = self._read().training
        return training.run if training and training.owner and is_alive(training.owner) else None

    def add(self, run_id: str, owner: Process | None = None) -> None:
        """Append a run. A run that already waits keeps its place and gets the new owner."""
        with self._changing() as queue:
            place = _place(queue, run_id)
            if place is None:
                queue.waiting.append(Entry(run=run_id, owner=owner))
            else:
                queue.waiting[place].owner = owner

    def add_first(self, run_id: str, owner: Process | None = None) -> None:
        """Put a run that was taken back at the head, for another owner."""
        with self._changing() as queue:
            others = [entry for entry in queue.waiting if entry.run != run_id]
            queue.waiting = [Entry(run=run_id, owner=owner), *others]

    def remove(self, run_id: str) -> bool:
        """Remove a run and return whether it was waiting."""
        with self._changing() as queue:
            others = [entry for entry in queue.waiting if entry.run != run_id]
            found = len(others) < len(queue.waiting)
            queue.waiting = others
            return found

    def move_up(self, run_id: str) -> None:
        with self._changing() as queue:
            place = _place(queue, run_id)
            if place:
                queue.waiting.insert(place - 1, queue.waiting.pop(place))

    def run_next(self, run_id: str) -> None:
        with self._changing() as queue:
            place = _place(queue, run_id)
            if place:
                queue.waiting.insert(0, queue.waiting.pop(place))

    def pause(self, paused: bool) -> None:
        with self._changing() as queue:
            queue.paused = paused

    def take(self, run_id: str | None = None) -> str | None:
        """Take the run at the head if it is `run_id`, or, without an id, if it has no owner. Otherwise return None.

        Hold the training lock when you call this. The run counts as `training` until done().
        """
        if not _takes(self._read(), run_id):  # without waiting for the lock
            return None
        with self._changing() as queue:
            if not _takes(queue, run_id):
                return None
            taken = queue.waiting.pop(0).run
            queue.training = Entry(run=taken, owner=this_process())
            return taken

    def done(self) -> None:
        """Record that the taken run no longer trains."""
        with self._changing() as queue:
            queue.training = None

    def _read(self) -> _Contents:
        try:
            return _Contents.model_validate(read_json(self.path))
        except (OSError, ValueError, ValidationError):
            return _Contents()

    @contextmanager
    def _changing(self) -> Iterator[_Contents]:
        """Yield the queue without invalid entries, locked against other processes, and write it if it changed."""
        self.root.mkdir(parents=True, exist_ok=True)
        with FileLock(self.root / "queue.lock", thread_local=False):
            queue = self._read()
            queue.waiting = [entry for entry in queue.waiting if entry.is_valid]
            before = queue.model_dump_json()
            yield queue
            after = queue.model_dump_json()
            if after != before:
                write_atomically(self.path, after.encode())


def _place(queue: _Contents, run_id: str) -> int | None:
    return next((place for place, entry in enumerate(queue.waiting) if entry.run == run_id), None)


def _takes(queue: _Contents, run_id: str | None) -> bool:
    head = next((entry for entry in queue.waiting if entry.is_valid), None)
    if queue.paused or head is None:
        return False
    return head.run == run_id if run_id else head.owner is None
