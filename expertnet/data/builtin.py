"""The registry of built-in datasets, and how each is read.

Digits are part of scikit-learn, and planted.py draws two datasets. The others are downloaded by download.py and read by
torchvision, whose URLs, checksums and class names are used unchanged.
"""

import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from expertnet.data import planted
from expertnet.data.download import download
from expertnet.data.splits import TEST_SEED, TEST_SHARE, held_out
from expertnet.utils.progress import Report, ShouldStop

DIGITS = tuple(str(digit) for digit in range(10))


@dataclass(frozen=True)
class Images:
    """Images in memory with their labels."""

    arrays: np.ndarray  # (N, H, W) or (N, H, W, 3) uint8
    labels: np.ndarray  # (N,)


Parts = tuple[tuple[str, ...], Images, Images]  # classes, train, test
Read = Callable[[Path, int, Report, ShouldStop], Parts]


@dataclass(frozen=True)
class Builtin:
    """A built-in dataset. `read` takes the folder of downloads and the image size, at which only drawn images are made."""

    title: str
    contents: str
    num_classes: int
    flips: bool  # whether a mirrored image still shows its class
    download_bytes: int
    read: Read
    train_images: int
    test_images: int
    native_size: int | None = None  # pixels of a side, if its images are cropped to their ink and stored that small

    @property
    def note(self) -> str:
        """One line for the form."""
        download = f"Downloads {self.download_bytes / 1e6:.0f} MB." if self.download_bytes else "No download."
        return f"{self.contents}, {self.num_classes} classes. {download}"


def _read_digits(folder: Path, image_size: int, progress: Report, cancelled: ShouldStop) -> Parts:
    from sklearn.datasets import load_digits  # takes a second to import

    progress("Loading Digits", None)
    bunch = load_digits()
    arrays = (bunch.images * (255 / 16)).round().astype(np.uint8)  # from 0 to 16
    train, test = (part.numpy() for part in held_out(torch.from_numpy(bunch.target).long(), TEST_SHARE, TEST_SEED))
    return DIGITS, Images(arrays[train], bunch.target[train]), Images(arrays[test], bunch.target[test])


def _read_cifar(name: str) -> Read:
    def read(folder: Path, image_size: int, progress: Report, cancelled: ShouldStop) -> Parts:
        from torchvision import datasets
        from torchvision.datasets.utils import extract_archive

        reader = getattr(datasets, name.upper())
        archive = folder / reader.filename
        _download(name, [([reader.url], archive, reader.tgz_md5)], progress, cancelled)
        with tempfile.TemporaryDirectory(dir=folder) as root:
            extract_archive(archive, root)
            train, test = reader(root, train=True), reader(root, train=False)
        images = [Images(part.data, np.asarray(part.targets)) for part in (train, test)]
        return tuple(train.classes), images[0], images[1]

    return read


def _read_fashion_mnist(folder: Path, image_size: int, progress: Report, cancelled: ShouldStop) -> Parts:
    from torchvision.datasets import FashionMNIST
    from torchvision.datasets.utils import extract_archive

    files = [
        ([mirror + name for mirror in FashionMNIST.mirrors], folder / name, md5) for name, md5 in FashionMNIST.resources
    ]
    _download("fashion_mnist", files, progress, cancelled)
    with tempfile.TemporaryDirectory(dir=folder) as root:
        raw = Path(root, FashionMNIST.__name__, "raw")  # where the reader looks
        raw.mkdir(parents=True)
        for _, path, _ in files:
            extract_archive(path, raw)
        readers = [FashionMNIST(root, train=train) for train in (True, False)]
    train, test = (Images(reader.data.numpy(), reader.targets.numpy()) for reader in readers)
    return tuple(FashionMNIST.classes), train, test


def _read_svhn(folder: Path, image_size: int, progress: Report, cancelled: ShouldStop) -> Parts:
    from torchvision.datasets import SVHN

    files = [([url], folder / name, md5) for url, name, md5 in (SVHN.split_list[part] for part in ("train", "test"))]
    _download("svhn", files, progress, cancelled)
    readers = [SVHN(folder, split=part) for part in ("train", "test")]
    train, test = (Images(reader.data.transpose(0, 2, 3, 1), reader.labels) for reader in readers)
    return DIGITS, train, test


def _read_planted(name: str) -> Read:
    def read(folder: Path, image_size: int, progress: Report, cancelled: ShouldStop) -> Parts:
        column, classes = planted.CLASSES[name]
        images = []
        for seed, part in enumerate(planted.PARTS):
            table = planted.factors(part)
            arrays = planted.draw(table, image_size, seed, lambda done: progress("Drawing images", done), cancelled)
            images.append(Images(arrays, table[column].cat.codes.to_numpy()))
        train, test = images
        return classes, train, test

    return read


def _download(name: str, files: Iterable[tuple[list[str], Path, str]], progress: Report, cancelled: ShouldStop) -> None:
    """Download the files of a dataset, each given by its URLs, target and MD5."""
    dataset, before = BUILTIN[name], 0
    for urls, target, md5 in files:
        before += download(urls, target, md5, dataset.title, dataset.download_bytes, before, progress, cancelled)
    progress(f"Unpacking {dataset.title}", None)


_DRAWN = "6,000 colored shapes on textured backgrounds"
_PHOTOS = "60,000 color photos, 32x32 pixels"
_CLOTHING = "70,000 grayscale images of clothing, 28x28 pixels"
_NUMBERS = "99,289 color photos of house numbers, 32x32 pixels"
_COUNTS = planted.PARTS["train"], planted.PARTS["test"]
BUILTIN = {
    "digits": Builtin("Digits", "1,797 handwritten digits, 8x8 pixels", 10, False, 0, _read_digits, 1438, 359, 8),
    "shapes": Builtin("Shapes", _DRAWN, 4, True, 0, _read_planted("shapes"), *_COUNTS),
    "contexts": Builtin(
        "Contexts", f"{_DRAWN}, which decides on what a shape means", 4, True, 0, _read_planted("contexts"), *_COUNTS
    ),
    "cifar10": Builtin("CIFAR-10", _PHOTOS, 10, True, 170_498_071, _read_cifar("cifar10"), 50_000, 10_000),
    "cifar100": Builtin("CIFAR-100", _PHOTOS, 100, True, 169_001_437, _read_cifar("cifar100"), 50_000, 10_000),
    "fashion_mnist": Builtin("Fashion-MNIST", _CLOTHING, 10, True, 30_878_645, _read_fashion_mnist, 60_000, 10_000),
    "svhn": Builtin("SVHN", _NUMBERS, 10, False, 246_316_178, _read_svhn, 73_257, 26_032),
}
