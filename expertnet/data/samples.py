"""A few images of each built-in dataset, to choose one by."""

from collections import Counter

import torch
from torch import Tensor

from expertnet.data.builtin import BUILTIN
from expertnet.data.datasets import find_cached, load_test_split
from expertnet.settings.schema import DataSettings

ROWS, COLUMNS = 2, 3
_samples: dict[str, Tensor] = {}


def samples(dataset: str) -> Tensor | None:
    """Return ROWS x COLUMNS test images as one image (3, H, W) uint8; None if there is no cached dataset.

    They are of different classes if there are enough. Nothing is downloaded or decoded.
    """
    if dataset not in _samples:
        cached = find_cached(DataSettings(dataset=dataset))
        if cached is None:
            return None
        seen, places = Counter[int](), []
        for place, label in enumerate(cached.test.labels.tolist()):
            places.append((seen[label], label, place))  # the first image of every class, then the second
            seen[label] += 1
        _samples[dataset] = _tiled(cached.test.images[[place for *_, place in sorted(places)[: ROWS * COLUMNS]]])
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
