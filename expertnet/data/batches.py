"""Decode images into batches of ("train" or "test", images (n, 3, S, S) uint8, labels (n,) int64)."""

import errno
import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import torch
from PIL import Image
from torch import Tensor

from expertnet.data.builtin import Images
from expertnet.data.class_folders import Layout, refuse_empty_classes
from expertnet.data.heic import can_read, is_heic
from expertnet.data.images import fit, load_image
from expertnet.data.own.versions import Version
from expertnet.data.sources import Source, list_entries
from expertnet.data.unread import LOST, NO_DECODER
from expertnet.errors import DatasetError, ImageError
from expertnet.utils.progress import Report, ShouldStop, never, raise_if_cancelled, silent
from expertnet.utils.text import JOINERS, counted, printable

ARRAY_BATCH = 500  # images in memory
FILE_BATCH = 256  # image files, read first, then shared by the threads
FILE_BATCH_BYTES = 32 * 2**20  # so that large files do not fill the memory
NAMED, LONGEST_NAME = 5, 100  # skipped files that are named; characters of each

Batch = tuple[str, Tensor, Tensor]
File = tuple[str, str, int, bytes]  # path, "train" or "test", label, content


def decode_arrays(
    title: str, train: Images, test: Images, image_size: int, progress: Report, cancelled: ShouldStop
) -> Iterator[Batch]:
    """Yield batches of images that are already in memory, fitted to the image size as files are."""
    total, done = len(train.labels) + len(test.labels), 0
    for part, images in (("train", train), ("test", test)):
        for start in range(0, len(images.labels), ARRAY_BATCH):
            raise_if_cancelled(cancelled)
            chosen = slice(start, start + ARRAY_BATCH)
            fitted = [fit(Image.fromarray(array), image_size) for array in images.arrays[chosen]]
            yield part, torch.stack(fitted), torch.tensor(images.labels[chosen].tolist())
            done += len(fitted)
            progress(f"Decoding {title}", done / total)


def decode_files(
    source: Source,
    layout: Layout,
    image_size: int,
    unreadable: list[str],
    unread: dict[str, str],
    held: list[int],
    progress: Report = silent,
    cancelled: ShouldStop = never,
) -> Iterator[Batch]:
    """Yield batches of the images that a layout names, in the order the files are stored.

    The paths of all files that are skipped are added to `unreadable`, those of files that could be read another time also to
    `unread`, with the reasons, and the places of validation images among those for training (from 0) to `held`. Raises DatasetError
    at the end if a class has no others, and what `file_batches` raises.
    """
    # Pillow decodes without Python's lock, so threads share the work. Files are read before, not meanwhile: a thread
    # that holds the lock would make small images ten times as slow.
    left, count, trained = dict(layout.images), len(layout.images), 0
    workers = min(os.cpu_count() or 1, 8)
    with ThreadPoolExecutor(workers, "decoding") as pool:
        for batch in file_batches(source, left, unread, cancelled):
            raise_if_cancelled(cancelled)
            images: list[Tensor | None] = [None] * len(batch)
            slices = [batch[start::workers] for start in range(workers)]
            decoded = pool.map(lambda files: [_decode(data, image_size) for *_, data in files], slices)
            for start, found in enumerate(decoded):
                images[start::workers] = found
            good: dict[str, list[tuple[Tensor, int]]] = {"train": [], "test": []}
            for (name, part, label, data), image in zip(batch, images, strict=True):
                if image is None:
                    unreadable.append(name)
                    if is_heic(data) and not can_read():
                        unread[name] = NO_DECODER
                    continue
                if name in layout.held:
                    held.append(trained)
                good[part].append((image, label))
                trained += part == "train"
            for part, pairs in good.items():
                if pairs:
                    yield part, torch.stack([image for image, _ in pairs]), torch.tensor([label for _, label in pairs])
            progress(f"Decoding {source.name}", 1 - len(left) / count)
    unreadable += unread.keys() - set(unreadable)
    refuse_empty_classes(layout, unreadable, source.name, skipped_text(layout, unreadable))


def file_batches(
    source: Source, left: dict[str, tuple[str, int]], unread: dict[str, str], cancelled: ShouldStop
) -> Iterator[list[File]]:
    """Read the files in `left` in the order they are stored, and remove them from it.

    Those that cannot be read are added to `unread`, with the reason. Raises Cancelled, OSError if the source is gone, or
    DatasetError if files of it are.
    """
    batch: list[File] = []
    size = 0
    for entry in list_entries(source, cancelled):
        planned = left.get(entry.path)
        if planned is None:
            continue
        try:
            batch.append((entry.path, *planned, entry.read()))
            size += len(batch[-1][3])
        except FileNotFoundError:
            continue  # it stays in `left`
        except OSError as error:
            unread[entry.path] = error.strerror or str(error)
        del left[entry.path]
        if len(batch) == FILE_BATCH or size > FILE_BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
    if left:
        _refuse_if_gone(source, [*left])
        unread |= dict.fromkeys(left, LOST)
        left.clear()


def _refuse_if_gone(source: Source, lost: list[str]) -> None:
    """Raise an error, unless all that is wrong is that a dataset of yours has lost files, without which it can still be used."""
    if isinstance(source, Version):
        if source.is_gone:
            raise FileNotFoundError(errno.ENOENT, "the version was deleted", str(source.folder))
        return
    if not source.exists():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(source))
    first = printable(lost[0][-LONGEST_NAME:])
    raise DatasetError(
        f"{counted(len(lost), 'file')} of {source.name} disappeared while the images were read, such as {first}. "
        f"Wait until nothing changes {source.name}, then try again."
    )


def _decode(data: bytes, image_size: int) -> Tensor | None:
    try:
        return load_image(data, image_size)
    except ImageError:
        return None


def skipped_text(layout: Layout, unreadable: list[str]) -> str:
    """Return one sentence on the files that were skipped, or ""."""
    names = sorted([*layout.skipped, *unreadable])
    if not names:
        return ""
    listed = ", ".join(name[-LONGEST_NAME:] for name in names[:NAMED])
    if len(names) > NAMED:
        suffixes = Counter(os.path.splitext(name)[1].lower() or "without suffix" for name in names)
        common = ", ".join(f"{count:,} {suffix}" for suffix, count in suffixes.most_common(3))
        listed += f" and others ({common} in all)"
    skipped = f"Skipped {counted(len(names), 'file')} outside the class folders or without a readable image"
    return printable(f"{skipped}: {listed}.", JOINERS)
