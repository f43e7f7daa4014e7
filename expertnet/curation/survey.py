"""Look at every image of a dataset once: its size, measures of its quality, and a hash of what it shows."""

import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from PIL import Image, ImageFilter, ImageStat
from scipy.fft import dctn
from torch import Tensor

from expertnet.data.batches import File, file_batches
from expertnet.data.builtin import BUILTIN
from expertnet.data.datasets import dataset_title, load_decoded, refuse_if_missing, unreadable_error
from expertnet.data.images import fit, load_thumbnail
from expertnet.data.sources import find_source, list_layout
from expertnet.data.unread import LOST
from expertnet.errors import ImageError
from expertnet.settings.schema import DataSettings
from expertnet.utils.progress import Report, ShouldStop, never, raise_if_cancelled, silent

SIDE = 64  # pixels at which images are measured: cleanvision judges blur at this size too
HASHED = 32  # pixels of which the hash keeps the lowest 8 x 8 frequencies, as in imagehash.phash
WEIGHTS = np.array([0.241, 0.691, 0.068], dtype=np.float32)  # of squared red, green and blue in perceived brightness
BATCH = 500  # images of a built-in dataset
UNREAD = "The file could not be read ({}). Check its permissions and the disk."
GONE = "The file is lost. Remove the image, and add it again if you still have it."
ELSEWHERE = "The file is not in a class folder, or its file extension is not that of an image."


class Unreadable(NamedTuple):
    """A file that training skips, and why."""

    file: str
    reason: str


@dataclass(frozen=True, eq=False, repr=False)
class Survey:
    """What was seen of N images: those for training first, each set in the order in which it is decoded.

    Compared by identity.

    `images` has a row per image: `name`; `part` ("train" or "test") and `place` in it, from 0; `set`, which is `part`, or
    "validation" if the dataset itself has images for that; `label`; `width` and `height` of the file; `brightest`, `darkest`,
    `sharpness` and `detail`, from 0 to 1; `hash` (64 bits) and `digest` of its pixels.
    """

    title: str
    classes: tuple[str, ...]
    images: pd.DataFrame
    unreadable: tuple[Unreadable, ...]


class Look(NamedTuple):
    """The measures of one image, the digest of its pixels, and what is hashed of it."""

    brightest: float
    darkest: float
    sharpness: float
    detail: float
    digest: bytes
    gray_HH: np.ndarray


def look(image_3SS: Tensor) -> Look:
    """Measure an image (3, S, S) uint8 as cleanvision 0.3.7 does (https://github.com/cleanlab/cleanvision)."""
    array = image_3SS.permute(1, 2, 0).contiguous().numpy()
    image = Image.fromarray(array)
    perceived = np.sqrt(np.square(array, dtype=np.float32) @ WEIGHTS) / 255
    darkest, brightest = np.percentile(perceived, (5, 99))
    gray = image.convert("L")
    edges = 1 - np.exp(-np.sqrt(ImageStat.Stat(gray.filter(ImageFilter.FIND_EDGES)).var[0]) / 100)
    tones = 1 - np.exp(-np.std(gray.histogram()) / 100)  # uneven for drawings, which have few edges
    sharpness = min(edges + (tones if tones > 0.18 else 0), 1.0)
    detail = min(image.entropy() / 10, 1.0)
    small = np.asarray(gray.resize((HASHED, HASHED), Image.Resampling.LANCZOS))
    return Look(brightest, darkest, sharpness, detail, hashlib.blake2b(array.data, digest_size=16).digest(), small)


def perceptual_hashes(gray_NHH: np.ndarray) -> np.ndarray:
    """Return imagehash.phash of gray images (N, 32, 32) as (N,) uint64: which low frequencies are above their median."""
    parts = [gray_NHH[start : start + BATCH] for start in range(0, len(gray_NHH), BATCH)]  # all would take 16 KB each
    low = [dctn(part.astype(float), axes=(1, 2))[:, :8, :8].reshape(-1, 64) for part in parts]
    low_NF = np.concatenate(low) if low else np.zeros((0, 64))
    above = low_NF > np.median(low_NF, axis=1, keepdims=True)
    return np.packbits(above, axis=1).view(">u8").ravel().astype(np.uint64)


def survey(data: DataSettings, progress: Report = silent, cancelled: ShouldStop = never) -> Survey:
    """Look at all images of a dataset. Raises DatasetError if it is missing or has no classes, and Cancelled."""
    title, unreadable = dataset_title(data.dataset), list[Unreadable]()
    refuse_if_missing(data)
    try:
        if data.dataset in BUILTIN:
            classes, found, held = *_builtin(data, progress, cancelled), frozenset[str]()
        else:
            classes, found, held = _files(data, unreadable, progress, cancelled)
        images = _table(list(found), held)
    except OSError as error:
        raise unreadable_error(data, error) from error
    return Survey(title, classes, images, tuple(unreadable))


_Row = tuple[str, str, int, int, int, Look]  # name, part, label, width, height


def _table(rows: list[_Row], held: frozenset[str]) -> pd.DataFrame:
    *columns, looks = zip(*rows, strict=True) if rows else [()] * 6
    table = pd.DataFrame(dict(zip(("name", "part", "label", "width", "height"), columns, strict=True)))
    measures = pd.DataFrame([found[:5] for found in looks], columns=list(Look._fields[:5]))
    gray_NHH = np.stack([found.gray_HH for found in looks]) if rows else np.zeros((0, HASHED, HASHED))
    table = table.join(measures).assign(
        set=table["part"].mask(table["name"].isin(held), "validation"),
        place=table.groupby("part").cumcount(),
        hash=perceptual_hashes(gray_NHH),
    )
    return table.sort_values("part", ascending=False, kind="stable", ignore_index=True)


def _builtin(data: DataSettings, progress: Report, cancelled: ShouldStop) -> tuple[tuple[str, ...], Iterator[_Row]]:
    info, decoded = load_decoded(data, progress, cancelled, None)

    def rows() -> Iterator[_Row]:
        total, size = len(decoded.train) + len(decoded.test), data.image_size
        for part, split in (("train", decoded.train), ("test", decoded.test)):
            for place, (image, label) in enumerate(zip(split.images, split.labels.tolist(), strict=True)):
                if place % BATCH == 0:
                    raise_if_cancelled(cancelled)
                    progress(f"Looking at {info.name}", (place + (part == "test") * len(decoded.train)) / total)
                yield f"{part} image {place + 1:,}", part, label, size, size, look(_shrunk(image))

    return info.classes, rows()


def _shrunk(image_3SS: Tensor) -> Tensor:
    large = image_3SS.shape[1] > SIDE
    return fit(Image.fromarray(image_3SS.permute(1, 2, 0).contiguous().numpy()), SIDE) if large else image_3SS


def _files(
    data: DataSettings, unreadable: list[Unreadable], progress: Report, cancelled: ShouldStop
) -> tuple[tuple[str, ...], Iterator[_Row], frozenset[str]]:
    source = find_source(data)
    layout = list_layout(source, progress, cancelled)
    unreadable += [Unreadable(name, ELSEWHERE) for name in layout.skipped]

    def seen(file: File) -> _Row | Unreadable:
        name, part, label, content = file
        try:
            image, (width, height) = load_thumbnail(content, SIDE)
        except ImageError as error:
            return Unreadable(name, str(error))
        return name, part, label, width, height, look(image)

    def rows() -> Iterator[_Row]:
        left, unread, done = dict(layout.images), dict[str, str](), 0
        with ThreadPoolExecutor(min(os.cpu_count() or 1, 8), "looking") as pool:
            for batch in file_batches(source, left, unread, cancelled):
                raise_if_cancelled(cancelled)
                for row in pool.map(seen, batch):
                    if isinstance(row, Unreadable):
                        unreadable.append(row)
                    else:
                        yield row
                done += len(batch)
                progress(f"Looking at {source.name}", done / len(layout.images))
        unreadable.extend(Unreadable(name, GONE if why == LOST else UNREAD.format(why)) for name, why in unread.items())

    return layout.classes, rows(), layout.held
