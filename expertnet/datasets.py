"""Built-in, downloaded, or a person's own pictures -> uint8 tensors, split, with their classes.

In this module: DatasetInfo, Split, Dataset; load_dataset and load_test_split; what is known before loading
(title, known_class_count, flips, is_ready). Everything is decoded once and kept under EXPERTNET_DATA, memory-mapped, so
that the second start is instant. Pictures are RGB, uint8, (N, 3, S, S).
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from expertnet import builtin
from expertnet.archives import ArchiveError, open_source
from expertnet.builtin import BUILTIN, DecodedSplit
from expertnet.config import DataSettings
from expertnet.downloads import Cancelled as Cancelled
from expertnet.downloads import DownloadError
from expertnet.pictures import PictureError, fit, read_picture

DECODED_VERSION = 1  # raise it when decoding changes, so that kept tensors are made anew
HELD_OUT_SEED = 0  # of the test pictures, where a data set has none of its own: the same whatever the run's seed
HELD_OUT_SHARE = 0.2
Progress = Callable[[str, float | None], None]


class DatasetError(ValueError):
    """A data set that cannot be used; the text is one sentence."""


@dataclass(frozen=True)
class DatasetInfo:
    """All of a data set that classifying needs without the data."""

    name: str
    classes: tuple[str, ...]
    mean: tuple[float, ...]  # of the training pictures, a value a channel, pixels from 0 to 1
    std: tuple[float, ...]
    image_size: int
    fingerprint: str

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> DatasetInfo:
        lists = {key: tuple(values[key]) for key in ("classes", "mean", "std")}
        return cls(
            name=str(values["name"]),
            image_size=int(values["image_size"]),
            fingerprint=str(values["fingerprint"]),
            **lists,
        )


@dataclass(frozen=True)
class Split:
    images: Tensor  # (N, 3, S, S) uint8
    labels: Tensor  # (N,) int64

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Dataset:
    info: DatasetInfo
    train: Split
    validation: Split  # the test set itself where validation_share is 0
    test: Split


def _silent(activity: str, share: float | None) -> None:
    """Progress that nobody watches."""


# --- before loading --------------------------------------------------------------------------------------------------


def data_root() -> Path:
    """Where downloads and decoded pictures are kept."""
    given = os.environ.get("EXPERTNET_DATA")
    return Path(given) if given else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "expertnet"


def dataset_title(name: str) -> str:
    """What a person calls a data set: "CIFAR-10", or the name of a folder or archive."""
    return BUILTIN[name].title if name in BUILTIN else Path(name).name


def known_class_count(data: DataSettings) -> int | None:
    """The number of classes, where it is known without loading."""
    if data.dataset in BUILTIN:
        return BUILTIN[data.dataset].num_classes
    kept = _kept(data)
    return len(json.loads((kept / "info.json").read_text())["classes"]) if kept else None


def flips(data: DataSettings) -> bool:
    """data.flip, resolved: auto leaves digits and house numbers as they are."""
    if data.flip == "auto":
        return data.dataset not in BUILTIN or BUILTIN[data.dataset].flips
    return data.flip == "on"


def refuse_if_missing(data: DataSettings) -> None:
    """Raises DatasetError for a data set that is neither built in nor a folder or archive."""
    if data.dataset not in BUILTIN:
        try:
            open_source(data.dataset)
        except ArchiveError as error:
            raise DatasetError(str(error)) from None


def is_ready(data: DataSettings) -> bool:
    """Whether the decoded pictures are on disk already."""
    return _kept(data) is not None


# --- loading ---------------------------------------------------------------------------------------------------------


def load_dataset(
    data: DataSettings, seed: int, progress: Progress = _silent, cancelled: Callable[[], bool] = lambda: False
) -> Dataset:
    """Train, validation and test: three different sets; with validation_share 0 the last two are the same.

    Downloads and decodes what is not there yet. Raises DatasetError, and Cancelled when `cancelled` says so.
    """
    info, train, test = _load(data, progress, cancelled)
    if data.validation_share == 0:
        return Dataset(info, train, test, test)
    kept, aside = stratified_split(train.labels, data.validation_share, seed)
    if not len(aside):
        raise DatasetError(
            f"{dataset_title(data.dataset)} has too few pictures to keep some for validation; add pictures or set data.validation_share=0."
        )
    return Dataset(
        info, Split(train.images[kept], train.labels[kept]), Split(train.images[aside], train.labels[aside]), test
    )


def load_test_split(data: DataSettings, progress: Progress = _silent) -> tuple[Split, DatasetInfo]:
    """The test set alone, memory-mapped."""
    info, _, test = _load(data, progress, lambda: False)
    return test, info


def stratified_split(labels: Tensor, share: float, seed: int) -> tuple[Tensor, Tensor]:
    """Indices (kept, aside), each sorted: of every class, round(share * n) of its pictures lie aside, never all of them."""
    generator = torch.Generator().manual_seed(seed)
    kept, aside = [], []
    for label in labels.unique():
        members = (labels == label).nonzero().flatten()
        members = members[torch.randperm(len(members), generator=generator)]
        count = min(max(round(share * len(members)), 1 if len(members) > 1 else 0), len(members) - 1)
        aside.append(members[:count])
        kept.append(members[count:])
    return torch.cat(kept).sort().values, torch.cat(aside).sort().values


def _load(data: DataSettings, progress: Progress, cancelled: Callable[[], bool]) -> tuple[DatasetInfo, Split, Split]:
    kept = _kept(data) or _decode_and_keep(data, progress, cancelled)
    described = json.loads((kept / "info.json").read_text())
    info = DatasetInfo.from_dict(described)
    splits = [
        Split(
            _map(kept / f"{name}-images.bin", torch.uint8, (described[name], 3, info.image_size, info.image_size)),
            _map(kept / f"{name}-labels.bin", torch.int64, (described[name],)),
        )
        for name in ("train", "test")
    ]
    return info, splits[0], splits[1]


def _map(path: Path, dtype: torch.dtype, shape: tuple[int, ...]) -> Tensor:
    """A file as a tensor, read by the page when it is touched; writing to the tensor does not change the file."""
    return torch.from_file(str(path), shared=False, size=torch.Size(shape).numel(), dtype=dtype).reshape(shape)


def _key(data: DataSettings) -> str:
    if data.dataset in BUILTIN:
        return f"{data.dataset}-{data.image_size}-v{DECODED_VERSION}"
    try:
        return f"own-{_cached_fingerprint(data.dataset)[:24]}-{data.image_size}-v{DECODED_VERSION}"
    except ArchiveError as error:
        raise DatasetError(str(error)) from None


def _cached_fingerprint(dataset: str) -> str:
    """An archive's content hash is kept beside its size and time, so that a large one is not read at every start."""
    source = open_source(dataset)
    if source.path.is_dir():
        return source.fingerprint()
    stat = source.path.stat()
    seen = json.dumps([str(source.path.resolve()), stat.st_size, stat.st_mtime_ns])
    index = data_root() / "fingerprints.json"
    try:
        known = json.loads(index.read_text())
    except (OSError, ValueError):
        known = {}
    if seen not in known:
        known[seen] = source.fingerprint()
        index.parent.mkdir(parents=True, exist_ok=True)
        temporary = index.with_name(f".fingerprints.{os.getpid()}.tmp")
        temporary.write_text(json.dumps(known))
        temporary.replace(index)
    return str(known[seen])


def _kept(data: DataSettings) -> Path | None:
    try:
        folder = data_root() / "decoded" / _key(data)
    except DatasetError:
        return None
    return folder if (folder / "info.json").is_file() else None


def _decode_and_keep(data: DataSettings, progress: Progress, cancelled: Callable[[], bool]) -> Path:
    """Decodes into a folder of its own and moves it into place whole, so that neither a kill nor a second process harms it."""
    target = data_root() / "decoded" / _key(data)
    try:
        if data.dataset in BUILTIN:
            classes, train, test = builtin.load(
                data.dataset, data.image_size, data_root() / "downloads", progress, cancelled
            )
        else:
            classes, train, test = _read_own(data, progress, cancelled)
    except (ArchiveError, DownloadError) as error:
        raise DatasetError(str(error)) from error
    if test is None:
        kept, aside = stratified_split(train.labels, HELD_OUT_SHARE, HELD_OUT_SEED)
        test = DecodedSplit(train.images[aside], train.labels[aside])
        train = DecodedSplit(train.images[kept], train.labels[kept])
    mean, std = _mean_and_std(train.images)
    info = DatasetInfo(
        dataset_title(data.dataset) if data.dataset not in BUILTIN else data.dataset,
        classes,
        mean,
        std,
        data.image_size,
        target.name,
    )
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix=".decoding-"))
    try:
        for name, split in (("train", train), ("test", test)):
            split.images.contiguous().numpy().tofile(temporary / f"{name}-images.bin")
            split.labels.numpy().tofile(temporary / f"{name}-labels.bin")
        (temporary / "info.json").write_text(
            json.dumps(info.to_dict() | {"train": len(train.labels), "test": len(test.labels)})
        )
        if not (target / "info.json").is_file():  # another process may have been quicker
            temporary.rename(target)
    except OSError:
        if not (target / "info.json").is_file():
            raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return target


def _mean_and_std(images: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """A value a channel, from exact counts of the 256 values."""
    values = torch.arange(256, dtype=torch.float64) / 255
    means, stds = [], []
    for channel in images.unbind(1):
        share = torch.bincount(channel.flatten(), minlength=256).double() / channel.numel()
        mean = (share * values).sum()
        means.append(mean.item())
        stds.append(
            max((share * (values - mean) ** 2).sum().sqrt().item(), 1 / 255)
        )  # pictures of one colour divide by no zero
    return tuple(means), tuple(stds)


def _read_own(
    data: DataSettings, progress: Progress, cancelled: Callable[[], bool]
) -> tuple[tuple[str, ...], DecodedSplit, DecodedSplit | None]:
    """A folder or archive of class folders, decoded; the test set is None where there is one level alone."""
    title = dataset_title(data.dataset)
    pictures: list[tuple[tuple[str, ...], Tensor]] = []
    unreadable = 0
    for file in open_source(data.dataset).files():
        if cancelled():
            raise Cancelled
        try:
            pictures.append((file.parts, fit(read_picture(file.read()), data.image_size)))
        except (PictureError, OSError):
            unreadable += 1
        if len(pictures) % 200 == 0:
            progress(f"Reading the pictures of {title}: {len(pictures):,}", None)
    if not pictures:
        raise DatasetError(
            f"{title} holds no pictures that can be read; it takes class folders such as cat/1.jpg and dog/1.jpg."
        )
    prefix = _wrapping_folders([parts for parts, _ in pictures])
    rows = [(parts[prefix:], image) for parts, image in pictures]
    two_levels = {parts[0].lower() for parts, _ in rows} == {"train", "test"} and all(
        len(parts) > 2 for parts, _ in rows
    )
    if any(len(parts) < 2 for parts, _ in rows):
        raise DatasetError(f"{title} has pictures outside class folders; put each into a folder named after its class.")
    if two_levels:
        groups = {
            name: [(parts[1], image) for parts, image in rows if parts[0].lower() == name] for name in ("train", "test")
        }
    else:
        groups = {"train": [(parts[0], image) for parts, image in rows], "test": []}
    classes = tuple(sorted({label for label, _ in groups["train"]}))
    if len(classes) < 2:
        raise DatasetError(f"{title} has the single class {classes[0]!r}; there must be two or more to tell apart.")
    unknown = {label for label, _ in groups["test"]} - set(classes)
    if unknown:
        raise DatasetError(
            f"The test class {min(unknown)!r} of {title} has no training pictures that can be read; name the folders alike."
        )
    _refuse_empty_classes(data.dataset, title, prefix, two_levels, classes)
    if unreadable:
        progress(f"{unreadable} files of {title} are no readable pictures and were left out", None)
    number = {label: index for index, label in enumerate(classes)}
    train, test = (
        DecodedSplit(torch.stack([image for _, image in group]), torch.tensor([number[label] for label, _ in group]))
        if group
        else None
        for group in (groups["train"], groups["test"])
    )
    assert train is not None
    if test is None and train.labels.bincount().min() < 2:
        raise DatasetError(
            f"A class of {title} has a single picture; each needs two or more, since some are held out for the test."
        )
    return classes, train, test


def _wrapping_folders(paths: list[tuple[str, ...]]) -> int:
    """1 where one folder wraps everything and class folders lie below it, else 0."""
    return int(len({parts[0] for parts in paths}) == 1 and all(len(parts) > 2 for parts in paths))


def _refuse_empty_classes(dataset: str, title: str, prefix: int, two_levels: bool, classes: tuple[str, ...]) -> None:
    """Of a folder: a class folder without a readable picture is a mistake that would otherwise go unseen."""
    root = Path(dataset).expanduser()
    if not root.is_dir():
        return
    if prefix:
        root = next(
            path for path in sorted(root.iterdir()) if path.is_dir() and not path.name.startswith((".", "__MACOSX"))
        )
    for top in [path for path in root.iterdir() if path.name.lower() in ("train", "test")] if two_levels else [root]:
        for folder in sorted(top.iterdir()):
            if folder.is_dir() and not folder.name.startswith((".", "__MACOSX")) and folder.name not in classes:
                raise DatasetError(
                    f"The class folder {folder.name!r} of {title} has no picture that can be read; fill it or remove it."
                )
