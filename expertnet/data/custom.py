"""A person's own images before they are loaded: what a folder or archive holds, and keeping what is uploaded.

In this module: Scan, scan, known_class_count, save_upload.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from expertnet.data.builtin import BUILTIN
from expertnet.data.cache import data_root
from expertnet.data.datasets import (
    arranged,
    dataset_title,
    kept_of,
    path_of,
    refuse_if_missing,
    refuse_without_validation,
    unreadable_error,
)
from expertnet.errors import DatasetError
from expertnet.settings.schema import DataSettings
from expertnet.utils.files import version_of, write_atomically
from expertnet.utils.progress import Report, ShouldStop, never, silent


@dataclass(frozen=True)
class Scan:
    """What a folder or archive holds by the names of its files, before any image is read."""

    classes: tuple[str, ...]
    train: int  # files that are images by their names, those for validation among them
    test: int
    largest: int  # of train, in the class that has most


_scans: dict[tuple[Any, ...], Scan | str] = {}


def scan(data: DataSettings, progress: Report = silent, cancelled: ShouldStop = never) -> Scan:
    """Lists a person's own images, once as long as the file or folder is not changed. Raises as load_dataset does."""
    refuse_if_missing(data)
    key = _seen_as(data)
    scanned = _scans.get(key)
    if scanned is None:
        scanned = _scans[key] = _listed(data, progress, cancelled)
    try:
        if isinstance(scanned, str):
            raise DatasetError(scanned)
        refuse_without_validation(data, scanned.largest)
    except DatasetError:
        if path_of(data).is_dir():  # which is not changed itself by the images that somebody adds to its classes
            _scans.pop(key, None)
        raise
    return scanned


def _listed(data: DataSettings, progress: Report, cancelled: ShouldStop) -> Scan | str:
    """What is there, or the sentence on why it cannot be used."""
    try:
        plan = arranged(path_of(data), progress, cancelled)
    except DatasetError as error:
        return str(error)
    except OSError as error:
        raise unreadable_error(dataset_title(data.dataset), error) from error
    train = Counter(label for part, label in plan.images.values() if part == "train")
    return Scan(plan.classes, train.total(), len(plan.images) - train.total(), max(train.values()))


def known_class_count(data: DataSettings) -> int | None:
    """The number of classes where it is known without reading any images."""
    if data.dataset in BUILTIN:
        return BUILTIN[data.dataset].num_classes
    scanned = _scans.get(_seen_as(data))
    if isinstance(scanned, Scan):
        return len(scanned.classes)
    kept = kept_of(data)
    return len(kept.classes) if kept else None


def _seen_as(data: DataSettings) -> tuple[Any, ...]:
    try:
        return data.dataset, *version_of(path_of(data))
    except (OSError, ValueError):
        return (data.dataset,)


def save_upload(name: str, content: bytes) -> Path:
    """Keeps an uploaded archive in the data folder, under its own name in a folder named by its content.

    Of the name only letters, digits and a few signs are kept, so that a name from outside names no other place.
    """
    kept = re.sub(r"[^\w.()-]+", "_", re.split(r"[/\\]", name)[-1]).lstrip(".")[-60:] or "archive"
    path = data_root() / "uploads" / hashlib.sha256(content).hexdigest()[:16] / kept
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content)
    return path
