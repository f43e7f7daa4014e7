"""The history of a run: one row an epoch, a line each of metrics.jsonl."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, TypedDict, TypeVar, cast

from pydantic_core import from_json

FIGURES = ("train_loss", "train_accuracy", "val_loss", "val_accuracy", "lr", "seconds", "images_per_second")
BY_BLOCK, BY_EXPERT = ("routing_entropy", "routing_information"), "expert_usage"
LARGEST_NUMBER, LARGEST_EPOCH = 1e300, 10**6  # no training writes larger ones

T = TypeVar("T")


class HistoryRow(TypedDict):
    """The figures of one epoch; None where a figure is missing or was not finite. Accuracies are fractions."""

    epoch: int
    train_loss: float | None
    train_accuracy: float | None
    val_loss: float | None
    val_accuracy: float | None
    lr: float | None
    seconds: float | None
    images_per_second: float | None
    routing_entropy: list[float | None] | None  # by block, nats
    routing_information: list[float | None] | None  # by block, bits
    expert_usage: list[list[float]] | None  # mean weight, blocks x experts


def is_number(value: Any) -> bool:
    """Whether a value is a number to compute with: JSON also has NaN, Infinity and integers of any length."""
    return type(value) in (int, float) and abs(value) <= LARGEST_NUMBER  # quicker than isinstance, and excludes bool


def _row(record: Any) -> HistoryRow:
    """Reads a line: what is missing or has another type is None."""
    figures = {key: float(record[key]) if is_number(record.get(key)) else None for key in FIGURES}
    blocks = {key: _list(record.get(key)) for key in BY_BLOCK}
    return cast(HistoryRow, {"epoch": record["epoch"], **figures, **blocks, BY_EXPERT: _table(record.get(BY_EXPERT))})


def _list(value: Any) -> list[float | None] | None:
    if not isinstance(value, list) or not all(item is None or is_number(item) for item in value):
        return None
    return [None if item is None else float(item) for item in value]


def _table(value: Any) -> list[list[float]] | None:
    """Rows of equally many numbers; None for anything else."""
    rows = [_list(item) for item in value] if isinstance(value, list) else []
    if not rows or any(not row or None in row or len(row) != len(rows[0] or []) for row in rows):
        return None
    return cast(list[list[float]], rows)


@lru_cache(maxsize=64)  # a history takes half a megabyte
def read_history(path: Path, version: tuple[int, ...]) -> tuple[HistoryRow, ...]:
    """Reads metrics.jsonl; `version` (files.version_of) is part of the cache's key. Raises OSError."""
    epochs, _ = parse_epochs(path.read_bytes(), _row)
    return tuple(epochs[epoch] for epoch in sorted(epochs))


def parse_history(content: bytes) -> tuple[dict[int, HistoryRow], int]:
    """Reads every line of a metrics.jsonl by its epoch, and counts the lines that are torn."""
    return parse_epochs(content, _row)


def read_figures(path: Path, keys: tuple[str, ...] = ()) -> dict[int, list[float]]:
    """Reads some figures of every epoch, in order; nan for what is missing. Raises OSError."""

    def figures(record: Any) -> list[float]:
        return [float(value) if is_number(value := record.get(key)) else math.nan for key in keys]

    epochs, _ = parse_epochs(path.read_bytes(), figures)
    return {epoch: epochs[epoch] for epoch in sorted(epochs)}


def parse_epochs(content: bytes, take: Callable[[Any], T]) -> tuple[dict[int, T], int]:
    epochs: dict[int, T] = {}
    torn = 0
    for line in content.splitlines():
        try:
            record = from_json(line)
            epoch = record["epoch"]
            if type(epoch) is not int or not 0 <= epoch <= LARGEST_EPOCH:
                raise ValueError("no epoch")
            epochs[epoch] = take(record)  # of an epoch that was trained twice, the later line counts
        except (ValueError, TypeError, KeyError, AttributeError):
            torn += 1
    return epochs, torn
