"""Datasets of your own, with images that all differ."""

import io
import json

from PIL import Image

from expertnet.data.own.datasets import create_dataset, undo
from expertnet.data.own.edits import rename_dataset
from expertnet.data.own.intake import add_files


def png(value: int, size: tuple[int, int] = (8, 8)) -> bytes:
    """Return a PNG of one color, another one for every value below 65,536."""
    file = io.BytesIO()
    Image.new("RGB", size, (value % 256, value // 256, 7)).save(file, "PNG")
    return file.getvalue()


def files_of(*classes: str, count: int = 4, first: int = 0) -> list[tuple[str, bytes]]:
    """Return files by path, in a folder for each class."""
    places = [(name, number) for name in classes for number in range(count)]
    return [(f"{name}/{number}.png", png(first + place)) for place, (name, number) in enumerate(places)]


def flowers(*classes: str, count: int = 4, title: str = "Flowers") -> str:
    """Create a dataset and return its id."""
    dataset = create_dataset(title).dataset
    add_files(dataset, files_of(*(classes or ("rose", "tulip")), count=count))
    return dataset


def framed(
    path: str, data: bytes, offset: int = 0, count: int | None = None, label: str = "", number: int = 0
) -> bytes:
    """Return a piece of a file as the browser sends it."""
    piece = data[max(offset, 0) :][:count]
    header: dict[str, object] = {"path": path, "number": number, "label": label}
    header |= {"size": len(data), "offset": offset, "count": len(piece)}
    line = json.dumps(header).encode()
    return len(line).to_bytes(4, "big") + line + piece


def twins(title: str) -> tuple[str, str]:
    """Create two datasets that have one title, since a renaming was undone, and return their ids."""
    first = create_dataset(title).dataset
    rename_dataset(first, f"{title}, renamed")
    second = create_dataset(title).dataset
    undo(first)
    return first, second
