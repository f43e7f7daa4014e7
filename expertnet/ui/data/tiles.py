"""Small images of a dataset as data URLs: one card for a class, and one tile for an image."""

import base64
import io
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from PIL import Image

from expertnet.data.builtin import BUILTIN
from expertnet.data.catalog import class_counts
from expertnet.data.data_url import to_data_url
from expertnet.data.datasets import find_cached
from expertnet.data.own.files import THUMB, read_thumb
from expertnet.data.own.folders import log_of
from expertnet.data.own.versions import Version, find_version
from expertnet.settings.schema import DataSettings
from expertnet.utils.files import cached_on_file

JPEG = "data:image/jpeg;base64,"
ROWS, COLUMNS = 2, 3  # images on the card of a class


@dataclass(frozen=True)
class ClassCard:
    """A class of a dataset, with a few of its images as one."""

    label: str  # its id, or its place in a built-in dataset
    name: str
    count: int
    image: str  # a data URL, or a text in its place


@dataclass(frozen=True)
class Tile:
    """An image of a class."""

    key: str
    image: str
    caption: str
    about: str  # read out, and shown on hovering


def class_cards(dataset: str, start: int, count: int) -> list[ClassCard]:
    """Return some classes of a dataset, by name. A built-in dataset must be on this computer."""
    if dataset in BUILTIN:
        return _built_in_cards(dataset, start, count)
    version = find_version(dataset)
    if version is None:
        return []
    images, classes = version.by_class, sorted(version.contents.classes.items(), key=lambda item: item[1])

    def card(label: str) -> str:
        thumbs = [read_thumb(version, image) for _, image in images[label][: ROWS * COLUMNS]]
        return mosaic(tuple(thumbs)) if thumbs else "no images"

    shown = classes[start : start + count]
    return [ClassCard(label, name, len(images[label]), card(label)) for label, name in shown]


def cover(dataset: str) -> str:
    """Return the image of the first class of one of your datasets, or a text in its place."""
    with suppress(OSError):  # another tab may just have removed it
        return _cover(log_of(dataset))
    return "empty"


@cached_on_file(maxsize=256)
def _cover(log: Path) -> str:
    cards = class_cards(log.parent.name, 0, 1)
    return cards[0].image if cards else "empty"


def _built_in_cards(dataset: str, start: int, count: int) -> list[ClassCard]:
    decoded = find_cached(DataSettings(dataset=dataset))
    if decoded is None:
        return []
    labels = decoded.test.labels
    counts = list((class_counts(dataset) or {}).values())
    cards = []
    for label in range(start, min(start + count, len(decoded.classes))):
        places = (labels == label).nonzero().flatten()[: ROWS * COLUMNS]
        images = [Image.fromarray(decoded.test.images[place].permute(1, 2, 0).numpy()) for place in places.tolist()]
        cards.append(ClassCard(str(label), decoded.classes[label], counts[label], _tiled(images)))
    return cards


def image_tiles(version: Version, label: str, start: int, count: int) -> list[Tile]:
    """Return some images of a class of one of your datasets, by name."""
    tiles = []
    for key, image in version.by_class.get(label, [])[start : start + count]:
        thumb = read_thumb(version, image)
        url = JPEG + base64.b64encode(thumb).decode() if thumb else "missing"
        about = f"{image.name}, {image.width} x {image.height} pixels" + (f", {image.split}" if image.split else "")
        tiles.append(Tile(key, url, image.name, about))
    return tiles


def test_count(dataset: str, label: int) -> int:
    """Return the number of test images of a class of a built-in dataset."""
    decoded = find_cached(DataSettings(dataset=dataset))
    return int((decoded.test.labels == label).sum()) if decoded else 0


def built_in_tiles(dataset: str, label: int, start: int, count: int) -> list[Tile]:
    """Return some test images of a class of a built-in dataset."""
    decoded = find_cached(DataSettings(dataset=dataset))
    if decoded is None:
        return []
    places = (decoded.test.labels == label).nonzero().flatten()[start : start + count].tolist()
    return [
        Tile(str(place), to_data_url(decoded.test.images[place]), f"{place + 1:,}", f"Test image {place + 1:,}")
        for place in places
    ]


@lru_cache(maxsize=512)
def mosaic(thumbs: tuple[bytes, ...]) -> str:
    """Return JPEG files as one image."""
    return _tiled([image for image in map(_opened, thumbs) if image])


def _opened(thumb: bytes) -> Image.Image | None:
    """Return a small image; None if its file is damaged, which must not hide the other datasets."""
    with suppress(OSError):
        image = Image.open(io.BytesIO(thumb), formats=["JPEG"])
        image.load()
        return image
    return None


def _tiled(images: Sequence[Image.Image]) -> str:
    side = THUMB // 2
    whole = Image.new("RGB", (COLUMNS * side, ROWS * side), (128, 128, 128))
    for place in range(ROWS * COLUMNS if images else 0):  # few images are repeated
        tile = images[place % len(images)].resize((side, side), Image.Resampling.BILINEAR)
        whole.paste(tile, (place % COLUMNS * side, place // COLUMNS * side))
    file = io.BytesIO()
    whole.save(file, "JPEG", quality=85)
    return JPEG + base64.b64encode(file.getvalue()).decode()
