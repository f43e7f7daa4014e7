"""Decoded images on disk: written whole or not at all, read memory-mapped.

In this module: data_root, Decoded, load, store; digest_of, which remembers the hash of an archive's content.
A set is a folder `decoded/<key>/`: info.json, and for train and test the images and labels as plain bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from expertnet.data.splits import Split
from expertnet.utils.files import remove_leftovers, write_atomically
from expertnet.utils.progress import Report, ShouldStop, never, raise_if_cancelled, silent

VERSION = 2  # raised when the same source would decode to other numbers; part of every key
_PIECE = 4 * 2**20  # bytes hashed between two looks at whether to stop


@dataclass(frozen=True)
class Decoded:
    classes: tuple[str, ...]
    mean: tuple[float, ...]  # of the training images, a value a channel, pixels from 0 to 1
    std: tuple[float, ...]
    note: str  # what was left out, in a sentence; empty where nothing was
    train: Split
    test: Split


def data_root() -> Path:
    """Where downloads and decoded images are kept: EXPERTNET_DATA, or the user's cache folder."""
    if given := os.environ.get("EXPERTNET_DATA"):
        return Path(given).expanduser()
    usual = {"darwin": "~/Library/Caches", "win32": os.environ.get("LOCALAPPDATA", "~/AppData/Local")}.get(
        sys.platform, "~/.cache"
    )
    return Path(os.environ.get("XDG_CACHE_HOME") or usual).expanduser() / "expertnet"


def load(key: str) -> Decoded | None:
    """What is kept under a key, its images memory-mapped; None where nothing is, or what is there is damaged."""
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
        return Decoded(
            tuple(info["classes"]), tuple(info["mean"]), tuple(info["std"]), info["note"], parts["train"], parts["test"]
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _map(path: Path, dtype: torch.dtype, shape: tuple[int, ...]) -> Tensor:
    """A file as a tensor, read page by page when it is touched; writing to the tensor leaves the file as it is."""
    count = torch.Size(shape).numel()
    if path.stat().st_size != count * dtype.itemsize:
        raise ValueError(f"{path.name} has not the size that its info.json says")
    return torch.from_file(str(path), shared=False, size=count, dtype=dtype).view(shape)


def store(
    key: str,
    image_size: int,
    classes: tuple[str, ...],
    batches: Iterable[tuple[str, Tensor, Tensor]],
    finish: Callable[[Tensor, Tensor], str] = lambda train, test: "",
) -> Decoded:
    """Keeps batches of ("train" or "test", images (n, 3, S, S) uint8, labels (n,) int64) under a key and maps them.

    `finish` is given the labels of both parts before anything is kept: it returns the note, or raises what speaks
    against the data. All is written beside the target and renamed, so that neither a kill nor a second process that
    decodes the same does harm. Raises OSError where the disk has no room.
    """
    parent = data_root() / "decoded"
    parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(parent, ".unfinished-*")
    work = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=parent))
    try:
        labels: dict[str, list[Tensor]] = {"train": [], "test": []}
        moments = torch.zeros(3, 3, dtype=torch.float64)  # of each channel: pixels, their sum, the sum of their squares
        with ExitStack() as stack:
            files = {part: stack.enter_context((work / f"{part}-images.bin").open("wb")) for part in labels}
            for part, images, numbers in batches:
                files[part].write(images.contiguous().numpy().data)
                labels[part].append(numbers)
                if part == "train":
                    pixels = images.transpose(0, 1).flatten(1).double()
                    count = torch.full((3,), pixels.shape[1], dtype=torch.float64)
                    moments += torch.stack([count, pixels.sum(1), pixels.square().sum(1)])
        train, test = (torch.cat(found) if found else torch.empty(0, dtype=torch.int64) for found in labels.values())
        note = finish(train, test)
        for part, found in (("train", train), ("test", test)):
            (work / f"{part}-labels.bin").write_bytes(found.numpy().data)
        mean, std = _mean_and_std(moments)
        info: dict[str, Any] = {
            "classes": classes,
            "mean": mean,
            "std": std,
            "image_size": image_size,
            "note": note,
            "train": len(train),
            "test": len(test),
        }
        write_atomically(work / "info.json", json.dumps(info).encode())
        _put(work, parent / key, key)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    kept = load(key)
    if kept is None:
        raise OSError(f"{parent / key} cannot be read back")
    return kept


def _put(work: Path, target: Path, key: str) -> None:
    try:
        os.replace(work, target)
    except OSError:  # something is there already
        if load(key) is None:  # and it is damaged: another process's whole one would do as well
            shutil.rmtree(target)
            os.replace(work, target)


def _mean_and_std(moments: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """A value a channel, pixels from 0 to 1. The sums are whole numbers below 2**53, so the order of images changes nothing."""
    count, total, squares = moments
    mean = total / count
    std = (squares / count - mean**2).clamp(min=1.0).sqrt()  # images of one colour would divide by zero
    return tuple((mean / 255).tolist()), tuple((std / 255).tolist())


def digest_of(
    path: Path, *, progress: Report = silent, cancelled: ShouldStop = never, only_known: bool = False
) -> str | None:
    """SHA-256 of a file's content; computed again only when its size or its time has changed.

    With `only_known`, None where it would have to be computed. Raises Cancelled.
    """
    status = path.stat()
    seen = hashlib.sha256(os.fsencode(f"{path.resolve()}\0{status.st_size}\0{status.st_mtime_ns}")).hexdigest()
    remembered = data_root() / "digests" / seen
    if remembered.is_file() and len(known := remembered.read_text()) == 64:
        return known
    if only_known:
        return None
    digest, done = hashlib.sha256(), 0
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            raise_if_cancelled(cancelled)
            digest.update(piece)
            done += len(piece)
            progress(f"Checking {path.name}", min(done / max(status.st_size, 1), 1.0))
    remembered.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(remembered, digest.hexdigest().encode())
    return digest.hexdigest()
