"""The history of a run: one row per epoch, stored as a line of metrics.jsonl."""

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

from pydantic_core import from_json

from expertnet.network.routing_metrics import RoutingFigures
from expertnet.utils.files import cached_on_file, to_json

FIGURES = ("train_loss", "train_accuracy", "val_loss", "val_accuracy", "lr", "seconds", "images_per_second")
BY_BLOCK, BY_EXPERT = ("routing_entropy", "routing_information"), "expert_usage"
LARGEST_NUMBER, LARGEST_EPOCH = 1e300, 10**6  # training writes no larger ones

T = TypeVar("T")


class HistoryRow(RoutingFigures):
    """The figures of one epoch; None where a figure is missing or was not finite. Accuracies are fractions."""

    epoch: int
    train_loss: float | None
    train_accuracy: float | None
    val_loss: float | None
    val_accuracy: float | None
    lr: float | None
    seconds: float | None
    images_per_second: float | None


def is_number(value: Any) -> bool:
    """Return whether a JSON value is a finite number of normal size. JSON also allows NaN and integers of any length."""
    return type(value) in (int, float) and abs(value) <= LARGEST_NUMBER  # faster than isinstance, and excludes bool


def _row(record: Any) -> HistoryRow:
    """Return a line as a row, with None for missing values and values of another type."""
    figures = {key: float(record[key]) if is_number(record.get(key)) else None for key in FIGURES}
    blocks = {key: _list(record.get(key)) for key in BY_BLOCK}
    return cast(HistoryRow, {"epoch": record["epoch"], **figures, **blocks, BY_EXPERT: _table(record.get(BY_EXPERT))})


def _list(value: Any) -> list[float | None] | None:
    if not isinstance(value, list) or not all(item is None or is_number(item) for item in value):
        return None
    return [None if item is None else float(item) for item in value]


def _table(value: Any) -> list[list[float]] | None:
    """Return rows of equally many numbers; None for anything else."""
    rows = [_list(item) for item in value] if isinstance(value, list) else []
    if not rows or any(not row or None in row or len(row) != len(rows[0] or []) for row in rows):
        return None
    return cast(list[list[float]], rows)


def read_history(path: Path) -> list[HistoryRow]:
    """Return the rows of metrics.jsonl in order, without damaged lines; empty if the file is missing."""
    try:
        return list(_read_rows(path))
    except OSError:
        return []


@cached_on_file(maxsize=64)  # a history takes half a megabyte
def _read_rows(path: Path) -> tuple[HistoryRow, ...]:
    epochs, _ = parse_epochs(path.read_bytes(), _row)
    return tuple(epochs[epoch] for epoch in sorted(epochs))


def append_row(path: Path, row: HistoryRow) -> None:
    """Append a row to metrics.jsonl and wait until it is on the disk."""
    with path.open("a", encoding="utf-8") as file:
        file.write(to_json(row) + "\n")
        file.flush()
        os.fsync(file.fileno())


def parse_history(content: bytes) -> tuple[dict[int, HistoryRow], int]:
    """Return the rows of a metrics.jsonl by epoch, and the number of damaged lines."""
    return parse_epochs(content, _row)


def read_figures(path: Path, keys: tuple[str, ...] = ()) -> dict[int, list[float]]:
    """Return the values of `keys` for every epoch, in order, with NaN for missing ones. Raises OSError."""

    def figures(record: Any) -> list[float]:
        return [float(value) if is_number(value := record.get(key)) else math.nan for key in keys]

    epochs, _ = parse_epochs(path.read_bytes(), figures)
    return {epoch: epochs[epoch] for epoch in sorted(epochs)}


def parse_epochs(content: bytes, take: Callable[[Any], T]) -> tuple[dict[int, T], int]:
    """Return what `take` makes of each line, by epoch, and the number of damaged lines."""
    epochs: dict[int, T] = {}
    torn = 0
    for line in content.splitlines():
        try:
            record = from_json(line)
            epoch = record["epoch"]
            if type(epoch) is not int or not 0 <= epoch <= LARGEST_EPOCH:
                raise ValueError("no epoch")
            epochs[epoch] = take(record)  # the later line counts if an epoch was trained twice
        except (ValueError, TypeError, KeyError, AttributeError):
            torn += 1
    return epochs, torn
