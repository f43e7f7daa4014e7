"""What a run's files hold: the keys of status.json and of a line of metrics.jsonl, checked as they are read.

In this module: EMPTY_STATUS, BEFORE, the sets of states, RunError, Checkpoint, is_number, fits (whether a value of status.json is one),
share_done (of a training), epoch_of (a checkpoint's metadata), parse_epochs and read_figures (of a history); and read_metrics,
read_epoch (of a checkpoint) and read_settings, read again only when a file has changed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic_core import from_json
from safetensors import SafetensorError, safe_open

from expertnet.settings.fields import settings_from_dict
from expertnet.settings.schema import Settings
from expertnet.utils.files import read_json

TRAINING_STATES = frozenset({"running", "stopping"})
ACTIVE_STATES = TRAINING_STATES | {"queued"}
RESUMABLE_STATES = frozenset({"stopped", "failed", "interrupted"})
EMPTY_STATUS: dict[str, Any] = {
    "state": "queued",
    "activity": "",
    "activity_share": None,
    "epoch": 0,
    "epochs": 0,
    "step": 0,
    "steps": 0,
    "images_per_second": None,
    "seconds_left": None,
    "best_epoch": None,
    "best_val_accuracy": None,
    "test_accuracy": None,
    "test_accuracy_mirrored": None,
    "test_loss": None,
    "train_loss_now": None,
    "device": None,
    "device_memory": None,
    "host": None,
    "pid": None,
    "process_start": None,
    "boot": None,
    "heartbeat": None,
    "error": None,
    "error_kind": None,
    "seconds": None,
    "own_process": False,
    "before": None,  # what a run that waits to be gone on with was: its BEFORE
}
BEFORE = ("state", "epochs", "error", "error_kind")
Checkpoint = str  # "best", "last", or of an epoch that was kept too, "epoch-0010"
CHECKPOINTS: tuple[Checkpoint, ...] = ("best", "last")
TEXTS = frozenset({"state", "activity", "device", "host", "boot", "error", "error_kind"})
COUNTS = frozenset({"epoch", "epochs", "step", "steps"})
FIGURES = ("train_loss", "train_accuracy", "val_loss", "val_accuracy", "lr", "seconds", "images_per_second")
LARGEST_FIGURE, LARGEST_COUNT, LARGEST_EPOCH = 1e300, 2**53, 10**6  # what is larger no training has written
BY_BLOCK, BY_EXPERT = ("routing_entropy", "routing_information"), "expert_usage"


def epoch_of(metadata: Mapping[str, str] | None) -> int:
    """The epoch in a checkpoint's metadata. Raises ValueError where there is none."""
    epoch = int((metadata or {}).get("epoch", ""))
    if not 0 <= epoch <= LARGEST_EPOCH:
        raise ValueError(f"{epoch} is no epoch")
    return epoch


@lru_cache(maxsize=4096)
def read_epoch(path: Path, version: tuple[int, ...]) -> int | None:
    try:
        with safe_open(path, framework="pt") as file:
            return epoch_of(file.metadata())
    except (SafetensorError, OSError, ValueError):
        return None


@lru_cache(maxsize=4096)
def read_settings(path: Path, version: tuple[int, ...]) -> Settings:
    return settings_from_dict(read_json(path))


def is_number(value: Any) -> bool:
    """Whether it is a number that can be computed with: JSON has NaN, Infinity and whole numbers of any length too."""
    return type(value) in (int, float) and abs(value) <= LARGEST_FIGURE  # quicker than isinstance, and no bool is one


def _is_count(value: Any, largest: int = LARGEST_COUNT) -> bool:
    return type(value) is int and 0 <= value <= largest


def fits(key: str, value: Any) -> bool:
    """Whether a value of status.json is one of its key's."""
    if key in ("state", "activity"):
        return isinstance(value, str)
    if key == "before":
        return value is None or (isinstance(value, Mapping) and all(fits(name, value.get(name)) for name in BEFORE))
    if key == "own_process":
        return isinstance(value, bool)
    if key in COUNTS:
        return _is_count(value)
    return value is None or (isinstance(value, str) if key in TEXTS else is_number(value))


def share_done(status: Mapping[str, Any]) -> float:
    """How much of its training a run has behind it, from 0 to 1; the epoch in progress counts by its steps."""
    begun = status["step"] / status["steps"] if status["steps"] and status["state"] in TRAINING_STATES else 0.0
    return float(min((status["epoch"] + begun) / max(status["epochs"], 1), 1.0))


def _whole(record: Any) -> dict[str, Any]:
    """A line of metrics.jsonl with every key; what is missing or of another type is None."""
    figures = {key: float(record[key]) if is_number(record.get(key)) else None for key in FIGURES}
    return record | figures | {key: _row(record.get(key)) for key in BY_BLOCK} | {BY_EXPERT: _table(record)}


def _row(value: Any) -> list[float | None] | None:
    """A list of numbers, of which some may be missing; None for anything else."""
    if not isinstance(value, list) or not all(item is None or is_number(item) for item in value):
        return None
    return [None if item is None else float(item) for item in value]


def _table(record: dict[str, Any]) -> list[list[Any]] | None:
    """expert_usage: as many numbers for each block; None for anything else, where the weights were not finite too."""
    found = record.get(BY_EXPERT)
    rows = [_row(item) for item in found] if isinstance(found, list) else []
    whole = [row for row in rows if row and None not in row and len(row) == len(rows[0] or [])]
    return [list(row) for row in whole] if rows and len(whole) == len(rows) else None


@lru_cache(maxsize=64)  # a history takes half a megabyte
def read_metrics(path: Path, version: tuple[int, ...]) -> tuple[dict[str, Any], ...]:
    epochs, _ = parse_epochs(path.read_bytes())
    return tuple(epochs[epoch] for epoch in sorted(epochs))


def read_figures(path: Path, keys: tuple[str, ...] = ()) -> dict[int, list[float]]:
    """Some figures of every epoch, in order; nan for what is missing. Nothing else of the history is kept."""

    def figures(record: Any) -> list[float]:
        return [float(value) if is_number(value := record.get(key)) else math.nan for key in keys]

    epochs, _ = parse_epochs(path.read_bytes(), figures)
    return {epoch: epochs[epoch] for epoch in sorted(epochs)}


def parse_epochs(content: bytes, take: Callable[[Any], Any] = _whole) -> tuple[dict[int, Any], int]:
    """What is taken of every line by its epoch, and how many lines are torn or no epochs; those are passed over."""
    epochs, torn = {}, 0
    for line in content.splitlines():
        try:
            record = from_json(line)
            if not _is_count(record["epoch"], LARGEST_EPOCH):
                raise ValueError("no epoch")
            epochs[record["epoch"]] = take(record)  # an epoch that was gone through again counts as its last time
        except (ValueError, TypeError, KeyError, AttributeError):
            torn += 1
    return epochs, torn
