"""A few images of a dataset, to choose one by."""

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from itertools import cycle, islice

import torch
from torch import Tensor

from expertnet.data import planted
from expertnet.data.archives import read_or_nothing
from expertnet.data.builtin import BUILTIN
from expertnet.data.datasets import find_cached, load_test_split
from expertnet.data.images import load_image
from expertnet.data.sources import find_source, list_entries
from expertnet.errors import DatasetError, ImageError
from expertnet.settings.schema import DataSettings

ROWS, COLUMNS = 2, 3
SIDE = 64  # pixels of a sample of your own images
_samples: dict[str, Tensor] = {}
_own: dict[str, tuple[tuple[str, ...], dict[str, Tensor]]] = {}  # by dataset: paths that were read, and their images


def samples(dataset: str) -> Tensor | None:
    """Return ROWS x COLUMNS test images as one image (3, H, W) uint8; None if there is no cached dataset.

    They are of different classes if there are enough. Nothing is downloaded or decoded.
    """
    if dataset not in _samples:
        cached = find_cached(DataSettings(dataset=dataset))
        if cached is None:
            return None
        places = planted.telling(dataset) if dataset in planted.CLASSES else _of_every_class(cached.test.labels)
        _samples[dataset] = _tiled(cached.test.images[places[: ROWS * COLUMNS]])
    return _samples[dataset]


def _of_every_class(labels_N: Tensor) -> list[int]:
    """Return the places of the first image of every class, then of the second, and so on."""
    seen, places = Counter[int](), []
    for place, label in enumerate(labels_N.tolist()):
        places.append((seen[label], label, place))
        seen[label] += 1
    return [place for *_, place in sorted(places)]


def own_samples(dataset: str) -> Tensor | None:
    """Return samples of your own images like `samples`; None before `read_samples` has read them."""
    _, images = _own.get(dataset, ((), {}))
    return _tiled(torch.stack([*islice(cycle(images.values()), ROWS * COLUMNS)])) if images else None


def first_images(dataset: str) -> dict[str, Tensor]:
    """Return those of the images that `read_samples` has read that could be read, (3, SIDE, SIDE) uint8, by path."""
    return _own.get(dataset, ((), {}))[1]


def read_samples(data: DataSettings, paths: Sequence[str]) -> bool:
    """Read images by their paths in a folder or archive, as samples of it. Returns False if they were read before.

    Files that cannot be read are left out. If there are too few, `own_samples` repeats the images.
    """
    wanted = tuple(paths)
    if _own.get(data.dataset, ((), {}))[0] == wanted:
        return False
    images: dict[str, Tensor] = {}
    missing = set(wanted)
    try:
        for entry in list_entries(find_source(data)):
            if entry.path in missing:
                missing.remove(entry.path)
                with suppress(ImageError):
                    images[entry.path] = load_image(read_or_nothing(entry.read), SIDE)
            if not missing:
                break
    except (DatasetError, OSError):  # the scan or the training says what is wrong
        pass
    _own[data.dataset] = wanted, {path: images[path] for path in wanted if path in images}
    return True


def _tiled(images_N3SS: Tensor) -> Tensor:
    """Return images row by row as one image (3, H, W)."""
    rows = [torch.cat(list(row), dim=2) for row in images_N3SS.split(COLUMNS)]
    return torch.cat(rows, dim=1).contiguous()


def prepare_samples() -> None:
    """Decode the built-in datasets that need no download, unless they are cached. Raises DatasetError."""
    for name, spec in BUILTIN.items():
        if not spec.download_bytes:
            load_test_split(DataSettings(dataset=name))
