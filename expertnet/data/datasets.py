"""Load datasets: RGB images (N, 3, S, S) uint8 with labels (N,), split into train, validation and test."""

import hashlib
import math
import os
import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from expertnet.data import cache
from expertnet.data.batches import decode_arrays, decode_files, skipped_text
from expertnet.data.builtin import BUILTIN
from expertnet.data.cache import Decoded, data_root
from expertnet.data.info import DatasetInfo, find_own, refuse_other_images, source_of
from expertnet.data.own.folders import dataset_ids, is_version
from expertnet.data.own.versions import Version, find_version
from expertnet.data.sources import any_readable, find_source, list_entries, list_layout
from expertnet.data.splits import Split
from expertnet.data.unread import mark_of, unmarked, usable_key
from expertnet.errors import DatasetError, UserError
from expertnet.settings.schema import DataSettings
from expertnet.utils.progress import Report, ShouldStop, never, raise_if_cancelled, silent
from expertnet.utils.text import did_you_mean


@dataclass(frozen=True)
class Dataset:
    """A loaded dataset."""

    info: DatasetInfo
    train: Split
    validation: Split  # of the test set if validation_share is 0, as in `watched`
    test: Split
    note: str = ""  # sentences on skipped files and on images decoded again, or ""


FEW = 1_000  # test images, which cost little and of which fewer would say little
# How much longer training on an image takes than evaluating it. By arithmetic, 3 times. On an H100, where the training of `report` is
# compiled and recorded and its evaluation is not, both take the same time (docs/benchmarks.md). This lies between.
TRAINING_TAKES = 1.5
DECODED_AGAIN = (
    "The images were decoded again by another version of ExpertNet, perhaps in another order. The network may have been trained "
    "on some of the validation images, which raises the validation accuracy."
)


# --- before loading --------------------------------------------------------------------------------------------------


def dataset_title(name: str) -> str:
    """Return the display name: "CIFAR-10", "Flowers, version 3", or the name of a folder or archive without its ending."""
    if name in BUILTIN:
        return BUILTIN[name].title
    if "@" in name and (version := find_version(name)):
        return version.name
    last = os.path.basename(os.path.abspath(os.path.expanduser(name)))
    return re.sub(r"(?i)(?<=.)(\.zip|\.tgz|\.tar(\.\w+)?)$", "", last) or name


def is_missing(data: DataSettings) -> bool:
    """Return whether `data.dataset` is neither a built-in dataset, nor one of yours, nor an existing path."""
    if data.dataset in BUILTIN:
        return False
    source = find_source(data)
    return isinstance(source, Path) and not (os.path.isdir(source) or os.path.isfile(source))


def refuse_if_missing(data: DataSettings) -> None:
    """Raise DatasetError if the dataset is missing."""
    if is_missing(data):
        if "/" in data.dataset:
            raise DatasetError(f"There is no folder or archive {data.dataset!r}. Check the path.")
        if is_version(data.dataset):
            raise DatasetError(f"There is no dataset {data.dataset!r}. It was removed; restore it on the Data page.")
        known = [*BUILTIN, *dataset_ids()]
        raise DatasetError(
            f"There is no dataset {data.dataset!r}.{did_you_mean(data.dataset, known)} Use {', '.join(known[:30])}, or the "
            "path of a folder or archive of class folders."
        )


def refuse_without_validation(data: DataSettings, largest: int) -> None:
    """Raise DatasetError if the largest training class is too small to hold out validation images."""
    if data.validation_share and largest < 2:
        raise DatasetError(
            f"{dataset_title(data.dataset)} has only one training image per class, so none can be held out for validation. "
            "Add images, or set `data.validation_share` to 0."
        )


def flips(data: DataSettings) -> bool:
    """Return whether training mirrors images: `data.flip` with "auto" resolved."""
    if data.flip == "auto":
        return data.dataset not in BUILTIN or BUILTIN[data.dataset].flips
    return data.flip == "on"


# --- loading ---------------------------------------------------------------------------------------------------------


def load_dataset(
    data: DataSettings,
    seed: int,
    progress: Report = silent,
    cancelled: ShouldStop = never,
    own: DatasetInfo | None = None,
    learned_share: float = 1.0,
) -> Dataset:
    """Download and decode a dataset unless it is cached, and split off validation images: its own, or some drawn by the seed.

    The test set is the same for all seeds. Without validation images, some test images are watched instead, the fewer, the smaller
    the share of the training images that an epoch learns from. `own` describes the images that a run was trained on: they are loaded
    even if the dataset has changed or is gone, as long as they are cached. Raises Cancelled, or DatasetError, also if only other
    images than a run's own are there.
    """
    info, decoded = load_decoded(data, progress, cancelled, own)
    if data.validation_share == 0:
        seen = watched(decoded.test, learned_share * len(decoded.train), data)
        return Dataset(info, decoded.train, seen, decoded.test, decoded.note)
    refuse_without_validation(data, int(decoded.train.labels.bincount().max()))
    train, validation = decoded.divided(data.validation_share, seed)
    raise_if_cancelled(cancelled)
    note = decoded.note
    if own is not None and own.content != decoded.content and data.dataset not in BUILTIN:
        note = f"{note} {DECODED_AGAIN}".strip()
    return Dataset(info, cache.take(decoded.train, train), cache.take(decoded.train, validation), decoded.test, note)


def watched(test: Split, learned: float, data: DataSettings) -> Split:
    """Return every n-th test image, so few that evaluating them takes about a tenth of an epoch at most, also with smaller images.

    An epoch of the whole network learns from `learned` training images.
    """
    smallest = min(data.resolutions, default=data.image_size) / data.image_size
    most = max(0.1 * TRAINING_TAKES * learned * smallest**2, FEW)
    step = math.ceil(len(test) / most)
    return test if step < 2 else Split(test.images[::step], test.labels[::step])


def load_test_split(
    data: DataSettings, progress: Report = silent, own: DatasetInfo | None = None, cancelled: ShouldStop = never
) -> tuple[Split, DatasetInfo]:
    """Return the test set alone, memory-mapped. `own` and the errors are those of load_dataset."""
    info, decoded = load_decoded(data, progress, cancelled, own)
    return decoded.test, info


def has_changed(data: DataSettings, own: DatasetInfo) -> bool:
    """Return whether file names, sizes and times say that a dataset has changed since a run was trained."""
    key = _known_key(data)
    return key is not None and unmarked(source_of(key)) != unmarked(source_of(own.fingerprint))


def load_decoded(
    data: DataSettings, progress: Report, cancelled: ShouldStop, own: DatasetInfo | None
) -> tuple[DatasetInfo, Decoded]:
    """Return all images, memory-mapped. `own` and the errors are those of load_dataset."""
    title = dataset_title(data.dataset)
    try:
        if own is not None and (kept := find_own(own)) is not None:
            return own, kept
        raise_if_cancelled(cancelled)
        refuse_if_missing(data)
        key = _key(data, progress, cancelled)
        assert key is not None
        decoded = cache.load(key)
        if decoded is None:
            decoded = _decode(data, key, progress, cancelled)
    except OSError as error:
        raise unreadable_error(data, error) from error
    name = data.dataset
    if name not in BUILTIN:
        name = f"{title}/" if title in BUILTIN else title  # a slash marks a folder that is called "digits"
    images = len(decoded.train) + len(decoded.test)
    classes, mean, std, held = decoded.classes, decoded.mean, decoded.std, len(decoded.held)
    info = DatasetInfo(name, classes, mean, std, data.image_size, decoded.key, decoded.content, images, held)
    if own is not None:
        refuse_other_images(title, own, info)
    return own or info, decoded


def unreadable_error(data: DataSettings, error: OSError) -> DatasetError:
    """Return the error to raise if images cannot be read: the dataset was removed meanwhile, or the disk fails."""
    try:
        refuse_if_missing(data)
    except DatasetError as gone:
        return gone
    return DatasetError(
        f"{dataset_title(data.dataset)} could not be read, or not cached in {data_root()} ({error.strerror or error}). "
        "Check the permissions of both and the free disk space."
    )


def find_cached(data: DataSettings) -> Decoded | None:
    """Return the decoded dataset if it is cached. No images are read, but for a folder, every file is listed."""
    key = _known_key(data)
    return cache.load(key) if key else None


def _known_key(data: DataSettings) -> str | None:
    """Return the key of the decoded images; None if it takes reading an archive, or if the dataset cannot be used."""
    try:
        return _key(data, silent, never, only_known=True)
    except (UserError, ValueError, OSError):  # ValueError: a path with a null byte
        return None


def _key(data: DataSettings, progress: Report, cancelled: ShouldStop, only_known: bool = False) -> str | None:
    """Return the key of the decoded images, from a name, an archive's content, or a folder's paths, sizes and times.

    With `only_known`, return None instead of reading an archive.
    """
    ending = f"{data.image_size}px-v{cache.VERSION}"
    if data.dataset in BUILTIN:
        return f"{data.dataset}-{ending}"
    path = find_source(data)
    readable = partial(any_readable, path, cancelled)
    if isinstance(path, Version):
        return usable_key(f"{path.source}-{ending}", readable)
    if path.is_dir():
        digest = hashlib.sha256(os.fsencode(path.resolve()))
        for entry in list_entries(path, cancelled):
            digest.update(repr((entry.path, entry.is_folder, entry.stamp)).encode())
        return usable_key(f"folder-{digest.hexdigest()[:32]}-{ending}", readable)
    content = cache.digest_of(path, progress=progress, cancelled=cancelled, only_known=only_known)
    return content and usable_key(f"archive-{content[:32]}-{ending}", readable)


def _decode(data: DataSettings, key: str, progress: Report, cancelled: ShouldStop) -> Decoded:
    if data.dataset in BUILTIN:
        spec, folder = BUILTIN[data.dataset], data_root() / "downloads"
        folder.mkdir(parents=True, exist_ok=True)
        classes, train, test = spec.read(folder, data.image_size, progress, cancelled)
        batches = decode_arrays(spec.title, train, test, data.image_size, progress, cancelled)
        return cache.store(key, data.image_size, classes, batches)
    source, unreadable, unread, held = find_source(data), list[str](), dict[str, str](), list[int]()
    layout = list_layout(source, progress, cancelled)
    batches = decode_files(source, layout, data.image_size, unreadable, unread, held, progress, cancelled)
    note, mark = partial(skipped_text, layout, unreadable), partial(mark_of, unread)
    decoded = cache.store(key, data.image_size, layout.classes, batches, note, held, mark)
    if decoded.note:
        progress(decoded.note, None)
    return decoded
