"""Cache decoded datasets on disk, memory-mapped, and the digests of archives.

A dataset is a folder `decoded/<key>/` with info.json and, for train and test, the images and labels as raw bytes.
"""

import hashlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from expertnet.data.splits import Split, held_out
from expertnet.utils.files import remove_leftovers, write_atomically
from expertnet.utils.progress import Report, ShouldStop, never, raise_if_cancelled, silent

MAPPED = 2**29  # bytes of images from which they stay in a file
UNFINISHED = ".unfinished-"  # begins the names of what is written or deleted; leftovers are deleted after a day
VERSION = 3  # part of every key; raise it if the same source decodes to different numbers


@dataclass(frozen=True)
class Decoded:
    """A decoded dataset. Train includes the validation images."""

    classes: tuple[str, ...]
    mean: tuple[float, ...]  # of the training images, per channel, pixels from 0 to 1
    std: tuple[float, ...]
    note: str  # a sentence on skipped files, or ""
    content: str  # digest of all images and labels, or "" if an older version cached them
    train: Split
    test: Split
    key: str  # under which it is cached
    held: (
        Tensor  # (M,): places in train of the images that the dataset itself has for validation, ascending; often none
    )

    def divided(self, share: float, seed: int) -> tuple[Tensor, Tensor]:
        """Return the places in train of the images for training and for validation, both ascending.

        These are the images that the dataset has for validation, or else a share drawn by the seed.
        """
        if not len(self.held):
            return held_out(self.train.labels, share, seed)
        rest = torch.ones(len(self.train), dtype=torch.bool)
        rest[self.held] = False
        return rest.nonzero()[:, 0], self.held


def data_root() -> Path:
    """Return the folder of downloads and decoded images: EXPERTNET_DATA, or the user's cache folder."""
    if given := os.environ.get("EXPERTNET_DATA"):
        return Path(given).expanduser()
    windows = os.environ.get("LOCALAPPDATA", "~/AppData/Local")
    usual = {"darwin": "~/Library/Caches", "win32": windows}.get(sys.platform, "~/.cache")
    return Path(os.environ.get("XDG_CACHE_HOME") or usual).expanduser() / "expertnet"


def load(key: str) -> Decoded | None:
    """Return the dataset cached under a key, memory-mapped; None if it is missing or damaged."""
    folder = data_root() / "decoded" / key
    try:
        info = json.loads((folder / "info.json").read_text(encoding="utf-8"))
        size, parts = info["image_size"], {}
        for part in ("train", "test"):
            count = info[part]
            parts[part] = Split(
                _map(folder / f"{part}-images.bin", torch.uint8, (count, 3, size, size)),
                _map(folder / f"{part}-labels.bin", torch.int64, (count,)),
            )
        classes, mean, std = (tuple(info[name]) for name in ("classes", "mean", "std"))
        held = torch.tensor(info.get("held", []), dtype=torch.int64)
        content = info.get("content", "")
        return Decoded(classes, mean, std, info["note"], content, parts["train"], parts["test"], key, held)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def marked(key: str, mark: str) -> str:
    """Return a key with a mark before the version of the cache."""
    source, _, version = key.rpartition("-v")
    return f"{source}{mark}-v{version}"


def keys(pattern: str) -> list[str]:
    """Return the keys of cached images that match a pattern, sorted."""
    return sorted(path.name for path in (data_root() / "decoded").glob(pattern))


def older_note(key: str) -> str:
    """Return the note of images that were cached before files that could not be read just then were told apart, or ""."""
    info = _info(key)
    return "" if "mark" in info else str(info.get("note", ""))


def unread_files(key: str) -> list[str]:
    """Return the paths of files that cached images lack until one of them can be read."""
    return [str(path) for path in _info(key).get("unread", [])]


def _info(key: str) -> dict[str, Any]:
    try:
        return dict(json.loads((data_root() / "decoded" / key / "info.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}


def _map(path: Path, dtype: torch.dtype, shape: tuple[int, ...]) -> Tensor:
    """Map a file as a tensor, which is read page by page on access. Writes to the tensor do not reach the file."""
    count = torch.Size(shape).numel()
    if path.stat().st_size != count * dtype.itemsize:
        raise ValueError(f"{path.name} does not have the size in info.json")
    return torch.from_file(str(path), shared=False, size=count, dtype=dtype).view(shape)


def take(split: Split, indices: Tensor) -> Split:
    """Return some of the images: a copy in memory or, if they are part of many, in a file without a name that is mapped.

    Pages of a file may leave the memory, so that a dataset that is larger than that can be trained on.
    """
    shape = (len(indices), *split.images.shape[1:])
    size = torch.Size(shape).numel()
    if split.images.numel() < MAPPED or not hasattr(os, "posix_fallocate"):
        return split.take(indices)
    try:
        with tempfile.NamedTemporaryFile(prefix=UNFINISHED, dir=data_root() / "decoded") as file:
            os.posix_fallocate(file.fileno(), 0, size)  # or a full disk would end the process
            images = torch.from_file(file.name, shared=True, size=size, dtype=torch.uint8).view(shape)
    except OSError:
        return split.take(indices)
    torch.index_select(split.images, 0, indices, out=images)
    return Split(images, split.labels[indices])


def store(
    key: str,
    image_size: int,
    classes: tuple[str, ...],
    batches: Iterable[tuple[str, Tensor, Tensor]],
    note: Callable[[], str] = lambda: "",
    held: Sequence[int] = (),
    mark: Callable[[], tuple[str, list[str]]] = lambda: ("", []),
) -> Decoded:
    """Cache batches of ("train" or "test", images (n, 3, S, S) uint8, labels (n,) int64) under a key, and map them.

    `note` and `mark` are called after the last batch, and `held`, the places of validation images in train, is read then. `mark`
    returns a part of the key, and the files for `unread_files`. Everything is written to a temporary folder and renamed, so a kill, a
    second process or an error of the batches does no harm. Raises OSError.
    """
    parent = data_root() / "decoded"
    parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(parent, f"{UNFINISHED}*")
    work = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=parent))
    try:
        labels: dict[str, list[Tensor]] = {"train": [], "test": []}
        sums = torch.zeros(2, 3, dtype=torch.float64)  # of the pixels of each channel, and of their squares
        with ExitStack() as stack:
            files = {part: stack.enter_context((work / f"{part}-images.bin").open("wb")) for part in labels}
            for part, images, numbers in batches:
                files[part].write(images.contiguous().numpy().data)
                labels[part].append(numbers)
                if part == "train":
                    pixels = images.transpose(0, 1).flatten(1).double()
                    sums += torch.stack([pixels.sum(1), pixels.square().sum(1)])
        info: dict[str, Any] = {"classes": classes, "image_size": image_size, "note": note()}
        info["mark"], info["unread"] = mark()
        for part, found in labels.items():
            (work / f"{part}-labels.bin").write_bytes(torch.cat(found).numpy().data)
            info[part] = sum(map(len, found))
        # The sums are exact (integers below 2**53), whatever the order of images.
        mean, square = sums / (info["train"] * image_size**2)
        std = (square - mean**2).clamp(min=1.0).sqrt()  # or images of one color would lead to division by zero
        info |= {"mean": (mean / 255).tolist(), "std": (std / 255).tolist(), "content": _digest(work, held)}
        if held:
            info["held"] = list(held)
        key = marked(key, info["mark"])
        write_atomically(work / "info.json", json.dumps(info).encode())
        _put(work, parent / key, key)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    decoded = load(key)
    if decoded is None:
        raise OSError(f"{parent / key} cannot be read back")
    return decoded


def _digest(folder: Path, held: Sequence[int]) -> str:
    digest = hashlib.sha256(repr(list(held)).encode() if held else b"")
    for path in sorted(folder.glob("*.bin")):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:32]


def _put(work: Path, target: Path, key: str) -> None:
    try:
        os.replace(work, target)
    except OSError:  # the target exists: damaged, or just written by another process
        if load(key) is None:
            shutil.rmtree(target)
            os.replace(work, target)


def digest_of(
    path: Path, *, progress: Report = silent, cancelled: ShouldStop = never, only_known: bool = False
) -> str | None:
    """Return the SHA-256 of a file, cached until its size or modification time changes. Raises Cancelled.

    With `only_known`, return None instead of computing it.
    """
    status = path.stat()
    version = hashlib.sha256(os.fsencode(f"{path.resolve()}\0{status.st_size}\0{status.st_mtime_ns}")).hexdigest()
    cached = data_root() / "digests" / version
    if cached.is_file() and len(known := cached.read_text()) == 64:
        return known
    if only_known:
        return None
    digest, done = hashlib.sha256(), 0
    with path.open("rb") as file:
        while piece := file.read(4 * 2**20):
            raise_if_cancelled(cancelled)
            digest.update(piece)
            done += len(piece)
            progress(f"Checking {path.name}", min(done / max(status.st_size, 1), 1.0))
    cached.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(cached, digest.hexdigest().encode())
    return digest.hexdigest()
