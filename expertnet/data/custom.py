"""Your own images before they are loaded: scan a folder or archive, and save uploads."""

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
    dataset_title,
    find_cached,
    list_layout,
    path_of,
    refuse_if_missing,
    refuse_without_validation,
    unreadable_error,
)
from expertnet.errors import DatasetError
from expertnet.settings.schema import DataSettings
from expertnet.utils.files import version_of, write_atomically
from expertnet.utils.progress import Report, ShouldStop, never, silent
from expertnet.utils.text import counted


@dataclass(frozen=True)
class Scan:
    """What a folder or archive contains, judged by file names alone."""

    classes: tuple[str, ...]
    train: int  # images, including those for validation
    test: int
    largest: int  # training images in the largest class

    @property
    def sentence(self) -> str:
        """Such as "180 images in 3 classes: 144 for training, 36 held out for the test"."""
        return (
            f"{counted(self.train + self.test, 'image')} in {counted(len(self.classes), 'class', 'classes')}: "
            f"{self.train:,} for training, {self.test:,} held out for the test"
        )


_scans: dict[tuple[Any, ...], Scan | str] = {}


def scan(data: DataSettings, progress: Report = silent, cancelled: ShouldStop = never) -> Scan:
    """List your own images, cached until the file or folder changes. Raises like load_dataset."""
    refuse_if_missing(data)
    key = _version(data)
    scanned = _scans.get(key)
    if scanned is None:
        scanned = _scans[key] = _list(data, progress, cancelled)
    try:
        if isinstance(scanned, str):
            raise DatasetError(scanned)
        refuse_without_validation(data, scanned.largest)
    except DatasetError:
        if path_of(data).is_dir():  # adding images to its subfolders does not change its version
            _scans.pop(key, None)
        raise
    return scanned


def _list(data: DataSettings, progress: Report, cancelled: ShouldStop) -> Scan | str:
    """Return the contents, or the message that says why they cannot be used."""
    try:
        layout = list_layout(path_of(data), progress, cancelled)
    except DatasetError as error:
        return str(error)
    except OSError as error:
        raise unreadable_error(dataset_title(data.dataset), error) from error
    train = Counter(label for part, label in layout.images.values() if part == "train")
    return Scan(layout.classes, train.total(), len(layout.images) - train.total(), max(train.values()))


def known_class_count(data: DataSettings) -> int | None:
    """Return the number of classes, or None if it is unknown without reading images."""
    if data.dataset in BUILTIN:
        return BUILTIN[data.dataset].num_classes
    scanned = _scans.get(_version(data))
    if isinstance(scanned, Scan):
        return len(scanned.classes)
    decoded = find_cached(data)
    return len(decoded.classes) if decoded else None


def _version(data: DataSettings) -> tuple[Any, ...]:
    try:
        return data.dataset, *version_of(path_of(data))
    except (OSError, ValueError):
        return (data.dataset,)


def save_upload(name: str, content: bytes) -> Path:
    """Save an uploaded archive in the data folder, in a folder named after its content. Returns its path."""
    # Only letters, digits and a few signs remain of the name, so that it cannot lead elsewhere.
    safe_name = re.sub(r"[^\w.()-]+", "_", re.split(r"[/\\]", name)[-1]).lstrip(".")[-60:] or "archive"
    path = data_root() / "uploads" / hashlib.sha256(content).hexdigest()[:16] / safe_name
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content)
    return path
