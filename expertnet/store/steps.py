"""Loss and speed within the epochs, in steps.jsonl: a small file for curves, which resuming does not need."""

import time
from pathlib import Path
from typing import NamedTuple, Self

from pydantic_core import from_json

from expertnet.store.history import is_number
from expertnet.utils.files import cached_on_file, to_json, write_atomically

STEPS_FILE = "steps.jsonl"
LIMIT = 500  # points of a run
WRITE_EVERY, WRITES = 1.0, 50  # seconds between writes; more once the training has taken WRITES seconds


class StepPoint(NamedTuple):
    """The means of the steps since the previous point."""

    epoch: float  # completed epochs, including the share of the current one
    steps: int  # how many steps the point averages
    loss: float
    images_per_second: float


def read_steps(folder: Path) -> tuple[StepPoint, ...]:
    """Return the points of a run's steps.jsonl in order, without damaged lines; empty if the file is missing."""
    try:
        return _read(folder / STEPS_FILE)
    except OSError:
        return ()


@cached_on_file(maxsize=64)
def _read(path: Path) -> tuple[StepPoint, ...]:
    return tuple(point for line in path.read_bytes().splitlines() if (point := _point(line)) is not None)


def _point(line: bytes) -> StepPoint | None:
    try:
        record = from_json(line)
        point = StepPoint(*(record[field] for field in StepPoint._fields))
    except (ValueError, TypeError, KeyError):
        return None
    valid = all(map(is_number, point)) and type(point.steps) is int and point.steps > 0 and point.images_per_second > 0
    return point if valid else None


class StepLog:
    """Collects what a Trainer reports after its steps, and writes it every few seconds.

    Once there are more than LIMIT points, two neighbors become one, so the points always cover the whole run evenly. Resuming
    after `epoch` drops later points. A file that cannot be written, such as on a full disk, does not stop the training.
    """

    def __init__(self, folder: Path, epoch: int) -> None:
        self._path = folder / STEPS_FILE
        self._points = [point for point in read_steps(folder) if point.epoch <= epoch][:LIMIT]
        self._stride = max((point.steps for point in self._points), default=1)  # steps per point
        self._epoch, self._before = 0, (0, 0.0, 0.0)  # the last report: steps, loss and time since the epoch's start
        self._since = (0, 0.0, 0.0)  # the same since the last point
        self._on_disk = None if self._path.exists() else 0  # points in the file; None if it must be rewritten
        self._started = self._written = time.monotonic()

    def __enter__(self) -> Self:
        self.write()
        return self

    def __exit__(self, *exception: object) -> None:
        self.write()

    def add(self, epoch: int, step: int, steps: int, loss: float, images_per_second: float) -> None:
        """Add the mean loss and speed of an epoch, counted from 1, after `step` of its `steps`."""
        now = (step, loss * step, step / images_per_second)  # the time's unit is seconds per image of a step
        before = self._before if epoch == self._epoch else (0, 0.0, 0.0)
        self._epoch, self._before = epoch, now
        count, total, spent = (a + b - c for a, b, c in zip(self._since, now, before, strict=True))
        if count < self._stride:
            self._since = (int(count), total, spent)
            return
        self._since = (0, 0.0, 0.0)
        self._points.append(StepPoint(epoch - 1 + step / steps, int(count), total / count, count / spent))
        if len(self._points) > LIMIT:
            self._points, self._on_disk = _thinned(self._points), None
            self._stride = max(point.steps for point in self._points)
        clock = time.monotonic()
        if clock - self._written > max(WRITE_EVERY, (clock - self._started) / WRITES):
            self.write()

    def write(self) -> None:
        """Append the new points to the file, or replace it if the old ones have changed."""
        new = self._points[self._on_disk or 0 :]
        lines = "".join(to_json(point._asdict()) + "\n" for point in new).encode()
        self._written = time.monotonic()
        try:
            if self._on_disk is None:
                write_atomically(self._path, lines)
            elif new:
                with self._path.open("ab") as file:
                    file.write(lines)
            self._on_disk = len(self._points)
        except OSError:
            self._on_disk = None  # half a line may have been written


def _thinned(points: list[StepPoint]) -> list[StepPoint]:
    """Return half as many points, each the mean of two neighbors."""
    merged = [_mean(*pair) for pair in zip(points[::2], points[1::2], strict=False)]
    return merged + points[len(merged) * 2 :]


def _mean(first: StepPoint, second: StepPoint) -> StepPoint:
    steps = first.steps + second.steps
    loss = (first.loss * first.steps + second.loss * second.steps) / steps
    time_spent = first.steps / first.images_per_second + second.steps / second.images_per_second
    return StepPoint(second.epoch, steps, loss, steps / time_spent)
