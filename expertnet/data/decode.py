"""Decodes the images of class folders, batch by batch."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from torch import Tensor

from expertnet.data.archives import Entry, entries
from expertnet.data.class_folders import Layout
from expertnet.data.images import fit, read_image
from expertnet.errors import ImageError
from expertnet.utils.progress import Report, ShouldStop, never, raise_if_cancelled, silent
from expertnet.utils.text import counted, printable

BATCH = 256  # images that are read, then shared by the threads


NAMED, LONGEST_NAME = 5, 100  # skipped files listed by name; characters of each


BATCH_BYTES = 32 * 2**20  # of their files, so that large images do not fill the memory


_Read = tuple[str, str, int, bytes]  # path, "train" or "test", label, content


def decode(
    path: Path,
    layout: Layout,
    image_size: int,
    unreadable: list[str],
    progress: Report = silent,
    cancelled: ShouldStop = never,
) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Batches of ("train" or "test", images (n, 3, S, S) uint8, labels (n,)), in the order the files are stored.

    Files that give no image are added to `unreadable`. Pillow decodes without Python's lock, so threads share the work;
    reading waits meanwhile, because a thread that holds the lock would slow small images tenfold.
    """
    left, count = dict(layout.images), len(layout.images)
    workers = min(os.cpu_count() or 1, 8)
    with ThreadPoolExecutor(workers, "decoding") as pool:
        for batch in _batches(entries(path, cancelled), left):
            raise_if_cancelled(cancelled)
            slices = [batch[start::workers] for start in range(workers)]
            batch = [item for part in slices for item in part]
            images = [
                image
                for part in pool.map(lambda items: [_image(data, image_size) for *_, data in items], slices)
                for image in part
            ]
            unreadable.extend(name for (name, *_), image in zip(batch, images, strict=True) if image is None)
            for part in ("train", "test"):
                good = [
                    (image, label)
                    for (_, place, label, _), image in zip(batch, images, strict=True)
                    if place == part and image is not None
                ]
                if good:
                    yield part, torch.stack([image for image, _ in good]), torch.tensor([label for _, label in good])
            progress(f"Decoding {path.name}", 1 - len(left) / count)


def _batches(found: Iterable[Entry], left: dict[str, tuple[str, int]]) -> Iterator[list[_Read]]:
    """The planned files in the order they are stored, each taken off the plan as it is read."""
    batch: list[_Read] = []
    size = 0
    for entry in found:
        planned = left.pop(entry.path, None)
        if planned is None:
            continue
        batch.append((entry.path, *planned, entry.read()))
        size += len(batch[-1][3])
        if len(batch) == BATCH or size > BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _image(data: bytes, image_size: int) -> Tensor | None:
    try:
        return fit(read_image(data), image_size)
    except ImageError:
        return None


def passed_over_text(layout: Layout, unreadable: list[str]) -> str:
    """One sentence on the files that were left out, or nothing."""
    names = sorted([*layout.passed_over, *unreadable])
    if not names:
        return ""
    kinds = Counter(os.path.splitext(name)[1].lower() or "no ending" for name in names)
    listed = ", ".join(name[-LONGEST_NAME:] for name in names[:NAMED])
    if len(names) > NAMED:
        listed += f" and others ({', '.join(f'{count:,} {kind}' for kind, count in kinds.most_common(3))} in all)"
    return printable(
        f"Skipped {counted(len(names), 'file')} outside the class folders or without a readable image: {listed}."
    )
