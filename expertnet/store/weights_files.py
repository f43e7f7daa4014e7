"""The weights of a run on disk: best, last and single epochs, each with its epoch in the metadata."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from safetensors import SafetensorError, safe_open

from expertnet.store.history import LARGEST_EPOCH

Checkpoint = str  # "best", "last", or a kept epoch such as "epoch-0010"
CHECKPOINTS: tuple[Checkpoint, ...] = ("best", "last")


def epoch_of(metadata: Mapping[str, str] | None) -> int:
    """Returns the epoch in a checkpoint's metadata. Raises ValueError where there is none."""
    epoch = int((metadata or {}).get("epoch", ""))
    if not 0 <= epoch <= LARGEST_EPOCH:
        raise ValueError(f"{epoch} is no epoch")
    return epoch


@lru_cache(maxsize=4096)
def read_epoch(path: Path, version: tuple[int, ...]) -> int | None:
    """Returns the epoch of a checkpoint, None if it cannot be read; `version` is part of the cache's key."""
    try:
        with safe_open(path, framework="pt") as file:
            return epoch_of(file.metadata())
    except (SafetensorError, OSError, ValueError):
        return None
