"""The datasets that come by name: what they are, and how their images are read.

In this module: Builtin, Images and BUILTIN, the registry. `digits` lies inside scikit-learn; the others are downloaded
by downloads.py and read by torchvision's readers, whose addresses, checksums and class names are the only ones used.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from expertnet.data.download import download
from expertnet.data.splits import held_out
from expertnet.utils.progress import Report, ShouldStop

DIGITS = tuple(str(digit) for digit in range(10))
TEST_SHARE, TEST_SEED = (
    0.2,
    0,
)  # of data that come without a test set; never the person's seed, so that it stays the same set


@dataclass(frozen=True)
class Images:
    """Part of a dataset in memory: uint8 arrays (N, H, W) or (N, H, W, 3), and labels (N,)."""

    arrays: np.ndarray
    labels: np.ndarray

    def __iter__(self) -> Iterator[tuple[Image.Image, int]]:
        for array, label in zip(self.arrays, self.labels, strict=True):
            yield Image.fromarray(array), int(label)


Read = Callable[[Path, Report, ShouldStop], tuple[tuple[str, ...], Images, Images]]  # -> classes, train, test


@dataclass(frozen=True)
class Builtin:
    """One dataset of the registry; `read` takes the folder that downloads are kept in."""

    name: str
    title: str
    note: str  # one line for a form
    num_classes: int
    flips: bool  # whether a mirrored image still shows its class
    download_bytes: int
    read: Read


def _digits(folder: Path, progress: Report, cancelled: ShouldStop) -> tuple[tuple[str, ...], Images, Images]:
    from sklearn.datasets import load_digits  # takes a second to import

    progress("Reading the digits", None)
    bunch = load_digits()
    arrays = (bunch.images * (255 / 16)).round().astype(np.uint8)  # values are 0 to 16
    train, test = (part.numpy() for part in held_out(torch.from_numpy(bunch.target).long(), TEST_SHARE, TEST_SEED))
    return DIGITS, Images(arrays[train], bunch.target[train]), Images(arrays[test], bunch.target[test])


def _cifar(reader: str) -> Read:
    def read(folder: Path, progress: Report, cancelled: ShouldStop) -> tuple[tuple[str, ...], Images, Images]:
        from torchvision import datasets
        from torchvision.datasets.utils import extract_archive

        kind = getattr(datasets, reader)
        archive, title = folder / kind.filename, reader.replace("CIFAR", "CIFAR-")
        download([kind.url], archive, kind.tgz_md5, title=title, progress=progress, cancelled=cancelled)
        progress(f"Unpacking {title}", None)
        with tempfile.TemporaryDirectory(dir=folder) as root:
            extract_archive(archive, root)
            train, test = kind(root, train=True), kind(root, train=False)
        return (
            tuple(train.classes),
            Images(train.data, np.asarray(train.targets)),
            Images(test.data, np.asarray(test.targets)),
        )

    return read


def _fashion_mnist(folder: Path, progress: Report, cancelled: ShouldStop) -> tuple[tuple[str, ...], Images, Images]:
    from torchvision.datasets import FashionMNIST
    from torchvision.datasets.utils import extract_archive

    before, title = 0, BUILTIN["fashion_mnist"].title
    for name, md5 in FashionMNIST.resources:
        before += download(
            [mirror + name for mirror in FashionMNIST.mirrors],
            folder / name,
            md5,
            title=title,
            before=before,
            total=BUILTIN["fashion_mnist"].download_bytes,
            progress=progress,
            cancelled=cancelled,
        )
    progress(f"Unpacking {title}", None)
    with tempfile.TemporaryDirectory(dir=folder) as root:
        raw = Path(root, FashionMNIST.__name__, "raw")  # where the reader looks
        raw.mkdir(parents=True)
        for name, _ in FashionMNIST.resources:
            extract_archive(folder / name, raw)
        readers = [FashionMNIST(root, train=train) for train in (True, False)]
    train, test = (Images(reader.data.numpy(), reader.targets.numpy()) for reader in readers)
    return tuple(FashionMNIST.classes), train, test


def _svhn(folder: Path, progress: Report, cancelled: ShouldStop) -> tuple[tuple[str, ...], Images, Images]:
    from torchvision.datasets import SVHN

    before, title = 0, BUILTIN["svhn"].title
    for part in ("train", "test"):
        url, name, md5 = SVHN.split_list[part]
        before += download(
            [url],
            folder / name,
            md5,
            title=title,
            before=before,
            total=BUILTIN["svhn"].download_bytes,
            progress=progress,
            cancelled=cancelled,
        )
    progress(f"Unpacking {title}", None)
    readers = [SVHN(folder, split=part) for part in ("train", "test")]
    train, test = (Images(reader.data.transpose(0, 2, 3, 1), reader.labels) for reader in readers)
    return DIGITS, train, test


BUILTIN: dict[str, Builtin] = {
    entry.name: entry
    for entry in (
        Builtin(
            "digits",
            "Digits",
            "1,797 handwritten digits of 8x8 pixels in 10 classes; nothing to download.",
            10,
            False,
            0,
            _digits,
        ),
        Builtin(
            "cifar10",
            "CIFAR-10",
            "60,000 colour photographs of 32x32 pixels in 10 classes; a download of 170 MB.",
            10,
            True,
            170_498_071,
            _cifar("CIFAR10"),
        ),
        Builtin(
            "cifar100",
            "CIFAR-100",
            "60,000 colour photographs of 32x32 pixels in 100 classes; a download of 169 MB.",
            100,
            True,
            169_001_437,
            _cifar("CIFAR100"),
        ),
        Builtin(
            "fashion_mnist",
            "Fashion-MNIST",
            "70,000 grey images of clothes, 28x28 pixels, 10 classes; a download of 31 MB.",
            10,
            True,
            30_878_645,
            _fashion_mnist,
        ),
        Builtin(
            "svhn",
            "SVHN",
            "99,289 house numbers in colour, 32x32 pixels, in 10 classes; a download of 246 MB.",
            10,
            False,
            246_316_178,
            _svhn,
        ),
    )
}
