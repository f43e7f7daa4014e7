"""The data sets that the product knows by name.

In this module: BUILTIN, what is known of each before it is loaded, and load. Digits come with scikit-learn; the others
are downloaded from the addresses, and checked with the checksums, that torchvision's readers name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from expertnet.downloads import Resource, fetch


@dataclass(frozen=True)
class Builtin:
    title: str
    note: str  # one line for the form
    num_classes: int
    flips: bool  # whether a mirrored picture is still of its class
    download_bytes: int


@dataclass(frozen=True)
class DecodedSplit:
    images: Tensor  # (N, 3, S, S) uint8
    labels: Tensor  # (N,) int64


BUILTIN: dict[str, Builtin] = {
    "digits": Builtin("Digits", "1,797 handwritten digits, 8 x 8 pixels; comes with the program.", 10, False, 0),
    "cifar10": Builtin(
        "CIFAR-10",
        "60,000 photographs of ten kinds of things, 32 x 32 pixels; a download of 170 MB.",
        10,
        True,
        170_498_071,
    ),
    "cifar100": Builtin(
        "CIFAR-100",
        "60,000 photographs of a hundred kinds of things, 32 x 32 pixels; a download of 169 MB.",
        100,
        True,
        169_001_437,
    ),
    "fashion_mnist": Builtin(
        "Fashion-MNIST", "70,000 grey pictures of clothes, 28 x 28 pixels; a download of 31 MB.", 10, True, 30_878_645
    ),
    "svhn": Builtin(
        "SVHN",
        "99,289 house numbers from street photographs, 32 x 32 pixels; a download of 246 MB.",
        10,
        False,
        246_387_648,
    ),
}


def load(
    name: str,
    image_size: int,
    downloads: Path,
    progress: Callable[[str, float | None], None],
    cancelled: Callable[[], bool],
) -> tuple[tuple[str, ...], DecodedSplit, DecodedSplit | None]:
    """Classes, training and test pictures; digits have no test set of their own (None). Raises DownloadError, Cancelled."""
    if name == "digits":
        return _digits(image_size)
    title = BUILTIN[name].title

    def report(share: float | None) -> None:
        progress(f"Downloading {title}", share)

    folder = downloads / name
    for resource in _resources(name):
        fetch(resource, folder if name != "fashion_mnist" else folder / "FashionMNIST" / "raw", report, cancelled)
    progress(f"Decoding {title}", None)
    train, test = _read(name, folder, True), _read(name, folder, False)
    splits = [DecodedSplit(_prepare(_pixels(reader), image_size), _labels(reader)) for reader in (train, test)]
    return _classes(name, train), splits[0], splits[1]


def _digits(image_size: int) -> tuple[tuple[str, ...], DecodedSplit, None]:
    from sklearn.datasets import load_digits  # takes a second, and only digits need it

    bunch = load_digits()
    grey = torch.from_numpy(bunch.images).float().mul(255 / 16).round().to(torch.uint8)[:, None]
    return (
        tuple(map(str, bunch.target_names)),
        DecodedSplit(_prepare(grey, image_size), torch.from_numpy(bunch.target).long()),
        None,
    )


def _prepare(images: Tensor, image_size: int) -> Tensor:
    """(N, 1 or 3, H, H) uint8 -> (N, 3, S, S) uint8, resized where it must be."""
    if images.shape[-1] != image_size:
        images = torch.cat(
            [
                F.interpolate(part.float(), size=(image_size, image_size), mode="bilinear", antialias=True)
                .round()
                .clamp(0, 255)
                .to(torch.uint8)
                for part in images.split(5000)
            ]
        )
    return images.expand(-1, 3, -1, -1)


def _reader(name: str) -> Any:
    from torchvision import datasets

    return {
        "cifar10": datasets.CIFAR10,
        "cifar100": datasets.CIFAR100,
        "fashion_mnist": datasets.FashionMNIST,
        "svhn": datasets.SVHN,
    }[name]


def _resources(name: str) -> list[Resource]:
    reader = _reader(name)
    if name == "fashion_mnist":
        return [
            Resource(file, md5, tuple(mirror + file for mirror in reader.mirrors)) for file, md5 in reader.resources
        ]
    if name == "svhn":
        return [
            Resource(file, md5, (url,)) for url, file, md5 in (reader.split_list[split] for split in ("train", "test"))
        ]
    return [Resource(reader.filename, reader.tgz_md5, (reader.url,))]


def _read(name: str, folder: Path, train: bool) -> Any:
    """torchvision's reader; what it unpacks has passed its checksum."""
    if name == "svhn":
        return _reader(name)(str(folder), split="train" if train else "test", download=False)
    # download=True finds the sound file in its place, so it only unpacks
    return _reader(name)(str(folder), train=train, download=True)


def _classes(name: str, reader: Any) -> tuple[str, ...]:
    return tuple(map(str, range(10))) if name == "svhn" else tuple(reader.classes)


def _pixels(reader: Any) -> Tensor:
    data = torch.as_tensor(np.asarray(reader.data))
    if data.ndim == 3:
        return data[:, None]
    return data if data.shape[1] == 3 else data.permute(0, 3, 1, 2).contiguous()  # SVHN's reader has the channels first


def _labels(reader: Any) -> Tensor:
    return torch.as_tensor(np.asarray(reader.labels if hasattr(reader, "labels") else reader.targets)).long()
