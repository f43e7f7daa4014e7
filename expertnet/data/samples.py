"""A few images of each built-in dataset, to choose one by."""

import torch
from torch import Tensor

from expertnet.data.builtin import BUILTIN
from expertnet.data.datasets import find_cached, load_test_split
from expertnet.settings.schema import DataSettings

ROWS, COLUMNS = 2, 3
_samples: dict[str, Tensor] = {}


def samples(dataset: str) -> Tensor | None:
    """Return ROWS x COLUMNS test images of different classes as one image (3, H, W) uint8; None if there is no cached dataset.

    Nothing is downloaded or decoded.
    """
    if dataset not in _samples:
        cached = find_cached(DataSettings(dataset=dataset))
        if cached is None:
            return None
        labels = cached.test.labels.tolist()
        places = [labels.index(label) for label in sorted(set(labels))[: ROWS * COLUMNS]]
        _samples[dataset] = _tiled(cached.test.images[places])
    return _samples[dataset]


def _tiled(images_N3SS: Tensor) -> Tensor:
    """Return images row by row as one image (3, H, W)."""
    rows = [torch.cat(list(row), dim=2) for row in images_N3SS.split(COLUMNS)]
    return torch.cat(rows, dim=1).contiguous()


def prepare_samples() -> None:
    """Decode the built-in datasets that need no download, unless they are cached. Raises DatasetError."""
    for name, spec in BUILTIN.items():
        if not spec.download_bytes:
            load_test_split(DataSettings(dataset=name))
