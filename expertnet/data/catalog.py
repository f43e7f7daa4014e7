"""All datasets that can be named in settings: the built-in ones and those of your own, with what they hold."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch

from expertnet.data.builtin import BUILTIN
from expertnet.data.cache import data_root
from expertnet.data.datasets import dataset_title, find_cached, load_test_split
from expertnet.data.own.folders import dataset_ids, log_of
from expertnet.data.own.versions import find_version
from expertnet.data.splits import Split
from expertnet.settings.schema import DataSettings
from expertnet.utils.files import cached_on_file
from expertnet.utils.progress import Report, ShouldStop


@dataclass(frozen=True)
class Listed:
    """A dataset in a list."""

    dataset: str  # as settings name it, without a version
    title: str
    own: bool
    classes: int
    images: int
    size: int  # bytes on this computer
    download: int = 0  # bytes to download, of a built-in one
    version: int = 0  # the latest, of one of your own
    damage: str = ""  # why it cannot be read, or ""


def list_datasets() -> list[Listed]:
    """Return your own datasets, then the built-in ones."""
    own = []
    for dataset in dataset_ids():
        with suppress(OSError):  # another tab may just have removed it
            own.append(_own_row(log_of(dataset)))
    return sorted(own, key=lambda row: row.title.casefold()) + [
        Listed(
            name,
            spec.title,
            False,
            spec.num_classes,
            spec.train_images + spec.test_images,
            _size(name),
            spec.download_bytes,
        )
        for name, spec in BUILTIN.items()
    ]


@cached_on_file(maxsize=1024)
def _own_row(log: Path) -> Listed:
    dataset = log.parent.name
    version = find_version(dataset)
    if version is None:
        return Listed(dataset, dataset, True, 0, 0, 0, damage="Its log is damaged. Restore it from a backup.")
    contents = version.contents
    classes, images = len(contents.classes), len(contents.images)
    return Listed(dataset, contents.title, True, classes, images, version.size, version=version.number)


def _size(name: str) -> int:
    """Return the bytes of a built-in dataset's decoded images, at all image sizes."""
    folders = (data_root() / "decoded").glob(f"{name}-*px-v*")
    return sum(file.stat().st_size for folder in folders for file in folder.glob("*.bin"))


def class_counts(dataset: str) -> dict[str, int] | None:
    """Return the number of images by class, in the order of the network's classes; None if they are not on this computer."""
    if dataset not in BUILTIN:
        version = find_version(dataset)
        if version is None:
            return None
        counts = version.contents.counts()
        return {name: counts[label] for label, name in sorted(version.contents.classes.items(), key=lambda one: one[1])}
    decoded = find_cached(DataSettings(dataset=dataset))
    if decoded is None:
        return None
    total = torch.cat([decoded.train.labels, decoded.test.labels]).bincount(minlength=len(decoded.classes))
    return dict(zip(decoded.classes, total.tolist(), strict=True))


def balance(counts: Mapping[str, int]) -> str:
    """Say how evenly images are spread over the classes; "" for fewer than two classes."""
    if len(counts) < 2:
        return ""
    small, large = min(counts, key=counts.__getitem__), max(counts, key=counts.__getitem__)
    if not counts[small]:
        return f"“{small}” has no images."
    times = counts[large] / counts[small]
    if times < 1.1:
        return "The classes are about equally large."
    return f"“{large}” has {times:.3g} times as many images as “{small}”."


def namesake(dataset: str, classes: Sequence[str]) -> str | None:
    """Return the built-in dataset that a folder or archive is named after: cifar10 for "CIFAR-10 (JPEG copy).tar.xz"."""
    title, count = dataset_title(dataset), len(classes)
    found = (name for name, spec in BUILTIN.items() if title.startswith(spec.title) and count == spec.num_classes)
    return None if dataset in BUILTIN else next(found, None)


def namesake_images(data: DataSettings, classes: Sequence[str]) -> tuple[str, Split] | None:
    """Return the title and the test images of the namesake of `data.dataset` if they are here and have the same classes."""
    name = namesake(data.dataset, classes)
    decoded = find_cached(data.model_copy(update={"dataset": name})) if name else None
    return (BUILTIN[name].title, decoded.test) if name and decoded and decoded.classes == tuple(classes) else None


def download_dataset(dataset: str, progress: Report, cancelled: ShouldStop) -> bool:
    """Download and decode a built-in dataset unless it is cached. Returns True. Raises DatasetError or Cancelled."""
    load_test_split(DataSettings(dataset=dataset), progress, cancelled=cancelled)
    return True
