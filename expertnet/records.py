"""What a run's files hold: the keys of status.json and of a line of metrics.jsonl, checked as they are read.

In this module: EMPTY_STATUS, the sets of states, RunError, Checkpoint, fits (whether a value of status.json is of its type),
read_metrics, read_epoch (of a checkpoint) and read_settings, each read again only when its file has changed.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic_core import from_json
from safetensors import SafetensorError, safe_open

from expertnet.config import Settings
from expertnet.fields import settings_from_dict
from expertnet.files import read_json

ACTIVE_STATES = frozenset({"queued", "running", "stopping"})
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
}
Checkpoint = str  # "best", "last", or of an epoch that was kept too, "epoch-0010"
CHECKPOINTS: tuple[Checkpoint, ...] = ("best", "last")
TEXTS = frozenset({"state", "activity", "device", "host", "boot", "error", "error_kind"})
COUNTS = frozenset({"epoch", "epochs", "step", "steps"})
FIGURES = ("train_loss", "train_accuracy", "val_loss", "val_accuracy", "lr", "seconds", "images_per_second")
BY_BLOCK = ("routing_entropy", "routing_information", "expert_usage")


class RunError(ValueError):
    """A run that cannot be found, read or gone on with; the text is one sentence."""


@lru_cache(maxsize=4096)
def read_epoch(path: Path, version: tuple[int, ...]) -> int | None:
    try:
        with safe_open(path, framework="pt") as file:
            return int(file.metadata()["epoch"])
    except (SafetensorError, OSError, KeyError, TypeError, ValueError):
        return None


@lru_cache(maxsize=4096)
def read_settings(path: Path, version: tuple[int, ...]) -> Settings:
    return settings_from_dict(read_json(path))


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def fits(key: str, value: Any) -> bool:
    """Whether a value of status.json is of its key's type."""
    if key in ("state", "activity"):
        return isinstance(value, str)
    if key == "own_process":
        return isinstance(value, bool)
    if key in COUNTS:
        return isinstance(value, int) and not isinstance(value, bool)
    return value is None or (isinstance(value, str) if key in TEXTS else is_number(value))


def _whole(record: Any) -> dict[str, Any]:
    """A line of metrics.jsonl with every key; what is missing or of another type is None. Raises where it is no epoch."""
    figures = {key: record.get(key) if is_number(record.get(key)) else None for key in FIGURES}
    blocks = {key: record.get(key) if isinstance(record.get(key), list) else None for key in BY_BLOCK}
    return record | figures | blocks | {"epoch": int(record["epoch"])}


@lru_cache(maxsize=4096)
def read_metrics(path: Path, version: tuple[int, ...]) -> tuple[dict[str, Any], ...]:
    epochs = {}
    for line in path.read_bytes().splitlines():
        try:
            record = _whole(from_json(line))
            epochs[record["epoch"]] = record  # an epoch that was gone through again counts as its last time
        except (ValueError, TypeError, KeyError, AttributeError):
            continue
    return tuple(epochs[epoch] for epoch in sorted(epochs))
