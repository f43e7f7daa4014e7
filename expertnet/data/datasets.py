"""Built-in, downloaded, or a person's own images -> uint8 tensors with their classes, in three different sets.

In this module: DatasetInfo, Dataset, load_dataset, load_test_split, cached_test_split, and what pages ask before anything is loaded
(dataset_title, is_missing, refuse_if_missing, refuse_without_validation, is_cached, flips; own_images.py says more). What
the parts of the way are called stands in builtin.py, downloads.py, archives.py, class_folders.py and cache.py. Images are RGB, uint8,
(N, 3, S, S).
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from expertnet.data import cache, class_folders
from expertnet.data.archives import entries
from expertnet.data.builtin import BUILTIN, Images
from expertnet.data.cache import Decoded, data_root
from expertnet.data.decode import decode, passed_over_text
from expertnet.data.images import fit
from expertnet.data.splits import Split, held_out
from expertnet.errors import DatasetError, UserError
from expertnet.settings.schema import DataSettings
from expertnet.utils.progress import Report, ShouldStop, never, raise_if_cancelled, silent
from expertnet.utils.text import did_you_mean

_BATCH = 500  # images of a built-in dataset between two looks at whether to stop


@dataclass(frozen=True)
class DatasetInfo:
    """All of a dataset that classifying needs without the data."""

    name: str  # a built-in name, or the name of a folder or archive
    classes: tuple[str, ...]
    mean: tuple[float, ...]  # of train and validation together, a value a channel, pixels from 0 to 1
    std: tuple[float, ...]
    image_size: int  # pixels
    fingerprint: str  # differs where the decoded images differ

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> DatasetInfo:
        lists = {key: tuple(values[key]) for key in ("classes", "mean", "std")}
        if not all(isinstance(name, str) for name in lists["classes"]):
            raise TypeError("the names of classes are text")
        return cls(
            name=str(values["name"]),
            image_size=int(values["image_size"]),
            fingerprint=str(values["fingerprint"]),
            **lists,
        )


@dataclass(frozen=True)
class Dataset:
    info: DatasetInfo
    train: Split
    validation: Split  # the test set itself where validation_share is 0
    test: Split
    note: str = ""  # a sentence for the log on files that were left out


# --- before loading --------------------------------------------------------------------------------------------------


def dataset_title(name: str) -> str:
    """What a person calls a dataset: "CIFAR-10", or the name of a folder or archive."""
    if name in BUILTIN:
        return BUILTIN[name].title
    return os.path.basename(os.path.abspath(os.path.expanduser(name))) or name


def is_missing(data: DataSettings) -> bool:
    """Whether data.dataset is neither a built-in name nor a path that exists."""
    return data.dataset not in BUILTIN and not (os.path.isdir(path_of(data)) or os.path.isfile(path_of(data)))


def refuse_if_missing(data: DataSettings) -> None:
    """Raises DatasetError where the dataset is missing."""
    if is_missing(data):
        raise DatasetError(
            f"There is no dataset {data.dataset!r}.{did_you_mean(data.dataset, BUILTIN)} Use {', '.join(BUILTIN)}, or the "
            "path of a folder or archive of class folders."
        )


def refuse_without_validation(data: DataSettings, largest: int) -> None:
    """Raises DatasetError where nothing could be set aside of training classes of so many images at most."""
    if data.validation_share and largest < 2:
        raise DatasetError(
            f"{dataset_title(data.dataset)} has a single training image a class, so none can be set aside for validation; "
            "add images, or use data.validation_share=0."
        )


def is_cached(data: DataSettings) -> bool:
    """Whether the decoded images are on disk already. Of a folder it lists every file."""
    return kept_of(data) is not None


def flips(data: DataSettings) -> bool:
    """data.flip resolved: auto leaves digits and house numbers as they are."""
    if data.flip == "auto":
        return data.dataset not in BUILTIN or BUILTIN[data.dataset].flips
    return data.flip == "on"


# --- loading ---------------------------------------------------------------------------------------------------------


def load_dataset(data: DataSettings, seed: int, progress: Report = silent, cancelled: ShouldStop = never) -> Dataset:
    """Downloads and decodes what is not there yet, and splits train by the seed; the test set is the same for all seeds.

    Raises DatasetError, and Cancelled where `cancelled` answers yes.
    """
    info, kept = _load(data, progress, cancelled)
    if data.validation_share == 0:
        return Dataset(info, kept.train, kept.test, kept.test, kept.note)
    refuse_without_validation(data, int(kept.train.labels.bincount().max()))
    train, validation = held_out(kept.train.labels, data.validation_share, seed)
    raise_if_cancelled(cancelled)
    return Dataset(info, kept.train.take(train), kept.train.take(validation), kept.test, kept.note)


def load_test_split(
    data: DataSettings, progress: Report = silent, cancelled: ShouldStop = never
) -> tuple[Split, DatasetInfo]:
    """The test set alone, memory-mapped. Raises as load_dataset does."""
    info, kept = _load(data, progress, cancelled)
    return kept.test, info


def cached_test_split(info: DatasetInfo) -> Split | None:
    """The test set of an archive that was decoded here once, wherever the file is now; None where none was.

    The fingerprint of an archive is that of its content; what is no such fingerprint, as a stranger's run may say, is not looked for.
    """
    if not re.fullmatch(r"archive-[0-9a-f]{32}-\d+px-v\d+", info.fingerprint):
        return None
    kept = cache.load(info.fingerprint)
    return kept.test if kept and kept.classes == info.classes else None


def _load(data: DataSettings, progress: Report, cancelled: ShouldStop) -> tuple[DatasetInfo, Decoded]:
    title = dataset_title(data.dataset)
    try:
        raise_if_cancelled(cancelled)
        refuse_if_missing(data)
        key = _key(data, progress, cancelled)
        assert key is not None
        kept = cache.load(key)
        if kept is None:
            kept = _decode(data, key, progress, cancelled)
    except OSError as error:
        raise unreadable_error(title, error) from error
    name = (
        data.dataset if data.dataset in BUILTIN else title + "/" * (title in BUILTIN)
    )  # a folder may be called digits
    return DatasetInfo(name, kept.classes, kept.mean, kept.std, data.image_size, key), kept


def unreadable_error(title: str, error: OSError) -> DatasetError:
    return DatasetError(
        f"{title} could not be read or kept in {data_root()} ({error.strerror or error}); check the rights to both "
        "and the room on the disk."
    )


def path_of(data: DataSettings) -> Path:
    return Path(os.path.expanduser(data.dataset))  # Path's own raises for a user who does not exist


def kept_of(data: DataSettings) -> Decoded | None:
    """What is decoded already, found without reading any images."""
    try:
        key = _key(data, silent, never, only_known=True)
    except (UserError, ValueError, OSError):  # DatasetError, and a path that no system would take
        return None
    return cache.load(key) if key else None


def _key(data: DataSettings, progress: Report, cancelled: ShouldStop, only_known: bool = False) -> str | None:
    """Names the decoded images: by name, by an archive's content, or by a folder's paths, sizes and times."""
    ending = f"{data.image_size}px-v{cache.VERSION}"
    if data.dataset in BUILTIN:
        return f"{data.dataset}-{ending}"
    path = path_of(data)
    if path.is_dir():
        digest = hashlib.sha256(os.fsencode(path.resolve()))
        for entry in entries(path, cancelled):
            digest.update(repr((entry.path, entry.is_folder, entry.stamp)).encode())
        return f"folder-{digest.hexdigest()[:32]}-{ending}"
    content = cache.digest_of(path, progress=progress, cancelled=cancelled, only_known=only_known)
    return content and f"archive-{content[:32]}-{ending}"


def _decode(data: DataSettings, key: str, progress: Report, cancelled: ShouldStop) -> Decoded:
    if data.dataset in BUILTIN:
        spec, folder = BUILTIN[data.dataset], data_root() / "downloads"
        folder.mkdir(parents=True, exist_ok=True)
        classes, train, test = spec.read(folder, progress, cancelled)
        return cache.store(
            key, data.image_size, classes, _fitted(spec.title, train, test, data.image_size, progress, cancelled)
        )
    path, unreadable = path_of(data), list[str]()
    plan = arranged(path, progress, cancelled)

    def finish(train: Tensor, test: Tensor) -> str:
        note = passed_over_text(plan, unreadable)
        try:
            class_folders.refuse_lost_classes(plan, train, test, path.name)
        except DatasetError as error:
            raise DatasetError(f"{error} {note}") from None  # with the names of the files to mend
        return note

    batches = decode(path, plan, data.image_size, unreadable, progress, cancelled)
    kept = cache.store(key, data.image_size, plan.classes, batches, finish)
    if kept.note:
        progress(kept.note, None)
    return kept


def arranged(path: Path, progress: Report, cancelled: ShouldStop) -> class_folders.Layout:
    found = []
    for entry in entries(path, cancelled):
        found.append((entry.path, entry.is_folder))
        if len(found) % 500 == 1:
            progress(f"Listing {path.name}", entry.share)
    return class_folders.arrange(found, path.name)


def _fitted(
    title: str, train: Images, test: Images, image_size: int, progress: Report, cancelled: ShouldStop
) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Batches of images that are in memory already, fitted just as a person's own images are."""
    total, done = len(train.labels) + len(test.labels), 0
    for part, images in (("train", train), ("test", test)):
        batch: list[tuple[Tensor, int]] = []
        for image, label in images:
            batch.append((fit(image, image_size), label))
            done += 1
            if len(batch) == _BATCH:
                raise_if_cancelled(cancelled)
                progress(f"Decoding {title}", done / total)
                yield part, *_stacked(batch)
                batch = []
        if batch:
            yield part, *_stacked(batch)


def _stacked(batch: Iterable[tuple[Tensor, int]]) -> tuple[Tensor, Tensor]:
    images, labels = zip(*batch, strict=True)
    return torch.stack(images), torch.tensor(labels)
