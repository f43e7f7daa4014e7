"""The queue of runs that wait to train, on disk, for every server and command line that uses the store.

`queue.json` survives a restart. A process changes it while it holds `queue.lock`.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field, field_validator

from expertnet.errors import RunError
from expertnet.utils.files import cached_on_file, file_lock, read_json, write_atomically
from expertnet.utils.processes import RENEW_AFTER, Process, is_alive, this_process

MOST_AT_ONCE = 64  # trainings


class Entry(BaseModel):
    """A run in the queue. Only its owner may train it. Without an owner, any server may."""

    run: str
    owner: Process | None = None  # a command line or a worker process
    place: int | str = (
        0  # of a run in training: the number of the lock that its process holds, or the id of its Ray task
    )

    @property
    def is_valid(self) -> bool:
        """Return whether the owner, if any, is alive."""
        return self.owner is None or is_alive(self.owner)

    def is_open_to(self, process: Process) -> bool:
        return self.owner is None or self.owner.model_copy(update={"heartbeat": None}) == process


class _Contents(BaseModel):
    waiting: list[Entry] = []
    training: list[Entry] = []  # each taken from `waiting` by its owner, which trains it
    paused: bool = False
    limit: Annotated[int, Field(ge=1, le=MOST_AT_ONCE)] = 1  # trainings at once

    @property
    def must_last(self) -> bool:
        """Return whether it holds more than runs whose owners end with the computer: others' runs, or a user's choice."""
        left = any(entry.owner is None for entry in self.waiting)  # by a user, for any studio
        on_ray = any(isinstance(entry.place, str) for entry in self.training)
        return left or on_ray or self.paused or self.limit > 1

    @field_validator("training", mode="before")
    @classmethod
    def _as_list(cls, value: Any) -> Any:
        """Accept the single entry, or none, of earlier versions."""
        return value if isinstance(value, list) else [] if value is None else [value]


class RunQueue:
    """The queue of the store at `root`. A missing or damaged file counts as an empty queue."""

    def __init__(self, root: Path) -> None:
        self.root, self.path = root, root / "queue.json"

    def entries(self) -> list[Entry]:
        """Return the waiting runs, in order."""
        return [entry for entry in self._read().waiting if entry.is_valid]

    def ids(self) -> list[str]:
        return [entry.run for entry in self.entries()]

    def head(self) -> Entry | None:
        """Return the run that trains next; None while the queue is paused or empty."""
        return _head(self._read())

    def holds(self, run_id: str) -> bool:
        """Return whether a run waits, or was taken by a process that is alive."""
        queue = self._read()
        return any(entry.run == run_id and entry.is_valid for entry in (*queue.waiting, *queue.training))

    @property
    def paused(self) -> bool:
        """Return whether no further run starts. A run that already trains continues."""
        return self._read().paused

    @property
    def limit(self) -> int:
        """Return how many runs may train at once, in all processes together."""
        return self._read().limit

    def set_limit(self, trainings: int) -> None:
        """Let so many runs train at once. Those that already train continue. Raises RunError."""
        if not 1 <= trainings <= MOST_AT_ONCE:
            raise RunError(f"Choose from 1 to {MOST_AT_ONCE} concurrent runs. You entered {trainings}.")
        with self._changing() as queue:
            queue.limit = trainings

    def taken(self) -> list[Entry]:
        """Return the taken runs, unless their process died on this host. On another host, their status decides."""
        taken = self._read().training
        return [entry for entry in taken if entry.owner and (not entry.owner.is_here or is_alive(entry.owner))]

    @property
    def training(self) -> list[str]:
        """Return the ids of the taken runs."""
        return [entry.run for entry in self.taken()]

    def has_work(self) -> bool:
        """Return whether a run waits that no process owns, and the queue is not paused."""
        return not self.paused and any(entry.owner is None for entry in self.entries())

    def add(self, run_id: str, owner: Process | None = None) -> None:
        """Append a run. A run that already waits keeps its place and gets the new owner."""
        with self._changing() as queue:
            entry = _entry(queue, run_id)
            if entry is None:
                queue.waiting.append(Entry(run=run_id, owner=owner))
            else:
                entry.owner = owner

    def claim(self, run_id: str) -> bool:
        """Make this process the owner of a waiting run, or renew that. Returns False if the run is gone or another's."""
        me, now = this_process(), time.time()
        with self._changing() as queue:
            entry = _entry(queue, run_id)
            if entry is None or not entry.is_open_to(me):
                return False
            if entry.owner is None or abs(now - (entry.owner.heartbeat or 0)) > RENEW_AFTER:
                entry.owner = me.beating()
            return True

    def renew(self) -> None:
        """Renew the ownership of all waiting runs of this process, which other hosts drop after HEARTBEAT_LIMIT."""
        with self._changing() as queue:
            for entry in queue.waiting:
                if entry.owner and entry.is_open_to(this_process()):
                    entry.owner = entry.owner.beating()

    def remove(self, run_id: str) -> bool:
        """Remove a run and return whether it was waiting."""
        with self._changing() as queue:
            entry = _entry(queue, run_id)
            if entry:
                queue.waiting.remove(entry)
            return entry is not None

    def move_up(self, run_id: str, places: int = 1) -> None:
        with self._changing() as queue:
            entry = _entry(queue, run_id)
            if entry:
                place = queue.waiting.index(entry)
                queue.waiting.insert(max(place - places, 0), queue.waiting.pop(place))

    def run_next(self, run_id: str) -> None:
        self.move_up(run_id, len(self._read().waiting))

    def pause(self, paused: bool) -> None:
        with self._changing() as queue:
            queue.paused = paused

    def take(self, run_id: str, place: int = 0) -> bool:
        """Take a run if it is at the head and no other process owns it, and return whether that worked.

        Hold the lock of the place when you call this. The run counts as `training` until done().
        """
        with self._changing() as queue:
            entry = _head(queue)
            if entry is None or entry.run != run_id or not entry.is_open_to(this_process()):
                return False
            queue.waiting.remove(entry)
            others = [taken for taken in queue.training if taken.place != place]  # whoever had the place is dead
            if any(taken.run == run_id and taken.is_valid for taken in others):
                return False  # two pages resumed it at once, and it trains already
            queue.training = [*others, Entry(run=run_id, owner=this_process().beating(), place=place)]
            return True

    def take_for(self, task: str, wanted: Callable[[str], bool]) -> str | None:
        """Take a run for a Ray task and return its id: the one that the task had when its node died, or the first wanted one.

        Returns None if there is none. The run counts as `training` until done().
        """
        with self._changing() as queue:
            waiting = [] if queue.paused else [entry for entry in queue.waiting if entry.owner is None]
            earlier = (entry.run for entry in queue.training if entry.place == task)
            found = next(earlier, None) or next((entry.run for entry in waiting if wanted(entry.run)), None)
            if found:
                queue.waiting = [entry for entry in queue.waiting if entry.run != found]
                queue.training = [entry for entry in queue.training if entry.run != found]
                queue.training.append(Entry(run=found, owner=this_process().beating(), place=task))
            return found

    @property
    def tasks(self) -> dict[str, str]:
        """Return the runs that were taken for Ray tasks, by task. Ray starts a task again whose node has died."""
        return {entry.place: entry.run for entry in self._read().training if isinstance(entry.place, str)}

    def done(self, run_id: str) -> None:
        """Record that a taken run no longer trains."""
        with self._changing() as queue:
            queue.training = [taken for taken in queue.training if taken.run != run_id]

    def _read(self) -> _Contents:
        """Return the contents; do not modify them."""
        try:
            return _contents(self.path)
        except (OSError, ValueError):
            return _Contents()

    @contextmanager
    def _changing(self) -> Iterator[_Contents]:
        """Yield the queue without invalid entries, locked against other processes, and write it if it changed.

        Writing waits for the disk only if the queue matters after a power cut.
        """
        with file_lock(self.root / "queue.lock"):
            try:
                queue = _Contents.model_validate(read_json(self.path))
            except PermissionError:  # another user's, which must not be overwritten
                raise
            except (OSError, ValueError):
                queue = _Contents()
            queue.waiting = [entry for entry in queue.waiting if entry.is_valid]
            before, lasted = queue.model_dump_json(), queue.must_last
            yield queue
            after = queue.model_dump_json()
            if after != before:
                write_atomically(self.path, after.encode(), sync=lasted or queue.must_last)


@cached_on_file(maxsize=8)
def _contents(path: Path) -> _Contents:
    return _Contents.model_validate(read_json(path))


def _entry(queue: _Contents, run_id: str) -> Entry | None:
    return next((entry for entry in queue.waiting if entry.run == run_id), None)


def _head(queue: _Contents) -> Entry | None:
    return None if queue.paused else next((entry for entry in queue.waiting if entry.is_valid), None)
