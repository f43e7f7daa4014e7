"""Your own images before they are loaded: scan a folder or archive."""

import threading
from collections import Counter
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path

from expertnet.data.builtin import BUILTIN
from expertnet.data.cache import data_root
from expertnet.data.class_folders import Layout
from expertnet.data.datasets import (
    dataset_title,
    find_cached,
    refuse_if_missing,
    refuse_without_validation,
    unreadable_error,
)
from expertnet.data.info import DatasetInfo, find_own, refuse_other_images
from expertnet.data.sources import Source, find_source, list_layout
from expertnet.errors import DatasetError
from expertnet.settings.schema import DataSettings
from expertnet.utils.files import version_of
from expertnet.utils.progress import Report, never, silent
from expertnet.utils.text import counted

EXAMPLES = 6  # images that stand for a dataset


@dataclass(frozen=True)
class Scan:
    """What a folder or archive contains, judged by file names alone."""

    classes: tuple[str, ...]
    train: int  # images, including those for validation
    test: int
    largest: int  # training images in the largest class
    held: int = 0  # training images that the dataset itself has for validation
    examples: tuple[str, ...] = ()  # paths of a few images, the first of each class first, inside the folder or archive
    counts: tuple[int, ...] = ()  # images of each class, including those for validation and the test

    @property
    def sentence(self) -> str:
        """Such as "180 images in 3 classes: 144 for training and validation, 36 held out for the test"."""
        rest = f"for training, {self.held:,} for validation" if self.held else "for training and validation"
        return (
            f"{counted(self.train + self.test, 'image')} in {counted(len(self.classes), 'class', 'classes')}: "
            f"{self.train - self.held:,} {rest}, {self.test:,} held out for the test"
        )


# By data folder, whose names of datasets count, and dataset: what was found, or why it cannot be used, and the versions of the archive or
# the folders then
_scans: dict[tuple[Path, str], tuple[Scan | DatasetError, dict[Path, tuple[int, int, int]]]] = {}
_listing = threading.Lock()  # one at a time, because unpacking may take MAX_DICTIONARY bytes


def scan(data: DataSettings, progress: Report = silent) -> Scan:
    """List your own images, cached until the archive or one of the folders changes. Raises like load_dataset."""
    refuse_if_missing(data)
    scanned = _known(data)
    if scanned is None:
        try:
            with _listing:
                scanned, paths = _list(find_source(data), progress)
            _scans[data_root(), data.dataset] = scanned, {path: version_of(path) for path in paths}
        except OSError as error:
            raise unreadable_error(data, error) from error
    if isinstance(scanned, DatasetError):
        raise DatasetError(str(scanned), scanned.meant)
    refuse_without_validation(data, scanned.largest)
    return scanned


def refuse_unusable(data: DataSettings) -> None:
    """Raise DatasetError unless the images are built in, or your own ones that can be used. Raises like load_dataset."""
    if data.dataset not in BUILTIN:
        scan(data)


def _known(data: DataSettings) -> Scan | DatasetError | None:
    """Return the result of the last scan, or None if there is none or it may have changed since."""
    scanned, versions = _scans.get((data_root(), data.dataset), (None, {}))
    try:
        return scanned if versions and all(version_of(path) == version for path, version in versions.items()) else None
    except OSError:
        return None


def _list(source: Source, progress: Report) -> tuple[Scan | DatasetError, set[Path]]:
    """Return the contents, or why they cannot be used, and the files or folders whose change may change that."""
    path = source if isinstance(source, Path) else source.log
    try:
        layout = list_layout(source, progress, never)
    except DatasetError as error:
        return error, set() if path.is_dir() else {path}  # the folder to fix may be any of them
    train = Counter(label for part, label in layout.images.values() if part == "train")
    test = len(layout.images) - train.total()
    counts = class_counts(layout)
    found = Scan(layout.classes, train.total(), test, max(train.values()), len(layout.held), _examples(layout), counts)
    return found, {path, *layout.folders}


def class_counts(layout: Layout) -> tuple[int, ...]:
    """Return the number of images of each class, in all parts."""
    counts = Counter(label for _, label in layout.images.values())
    return tuple(counts[label] for label in range(len(layout.classes)))


def _examples(layout: Layout) -> tuple[str, ...]:
    """Return the first image of each class, then the second of each, and so on, until there are EXAMPLES."""
    by_class: dict[int, list[str]] = {}
    for path, (_, label) in layout.images.items():
        images = by_class.setdefault(label, [])
        if len(images) < EXAMPLES:
            images.append(path)
    rounds = zip_longest(*(by_class[label] for label in sorted(by_class)))
    return tuple([path for each in rounds for path in each if path][:EXAMPLES])


def known_class_count(data: DataSettings) -> int | None:
    """Return the number of classes, or None if it is unknown without reading images."""
    if data.dataset in BUILTIN:
        return BUILTIN[data.dataset].num_classes
    known = _known(data)
    found = known if isinstance(known, Scan) else find_cached(data)
    return len(found.classes) if found else None


def known_training_images(data: DataSettings) -> int | None:
    """Return the number of images in an epoch, without those for validation, or None if unknown without a look at the disk."""
    if data.dataset in BUILTIN:
        images, held = BUILTIN[data.dataset].train_images, 0
    elif isinstance(known := _known(data), Scan):
        images, held = known.train, known.held if data.validation_share else 0
    else:
        return None
    return max(images - (held or round(images * data.validation_share)), 1)


def refuse_changed_images(data: DataSettings, own: DatasetInfo | None) -> None:
    """Raise DatasetError if file names show that a run cannot have its own images again. Reads no images."""
    if own is not None and find_own(own) is not None:
        return
    refuse_if_missing(data)
    if own is not None and data.dataset not in BUILTIN:
        refuse_other_images(dataset_title(data.dataset), own, replace(own, classes=scan(data).classes))
