"""The image of a dataset of yours that a network was judged by, so that you can correct a wrong label where you see it."""

from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache

import torch

from expertnet.data.datasets import load_decoded
from expertnet.data.images import load_image
from expertnet.data.own.contents import OwnImage
from expertnet.data.own.layout import layout_of
from expertnet.data.own.versions import find_version, open_version
from expertnet.errors import ImageError
from expertnet.inference.mistakes import Part
from expertnet.store.run import Run
from expertnet.utils.progress import never, silent


@dataclass(frozen=True)
class OwnPlace:
    """Where an image is now: its dataset, its id, and the name of its class in the latest version; None if it was removed."""

    dataset: str
    key: str
    now: str | None


def find_own_image(run: Run, part: Part, place: int) -> OwnPlace | None:
    """Return the image at a place (from 0) of a part of a run's images; None if they are not of a dataset of yours.

    Decoding skips files that it cannot read, so the pixels decide which file it is. Raises DatasetError as load_dataset does.
    """
    settings = run.settings()
    version = find_version(settings.data.dataset) if "@" in settings.data.dataset else None
    if version is None:
        return None
    _, decoded = load_decoded(settings.data, silent, never, run.dataset_info())
    split = decoded.test if part == "test" else decoded.train
    if part == "validation":
        place = int(decoded.divided(settings.data.validation_share, settings.seed)[1][place])
    files = _files(version.key, "test" if part == "test" else "train")
    for key, image in files[place : place + len(files) - len(split) + 1]:
        with suppress(ImageError, OSError):
            if torch.equal(load_image(version.read(image), settings.data.image_size), split.images[place]):
                latest = open_version(version.dataset).contents
                kept = latest.images.get(key)
                return OwnPlace(version.dataset, key, latest.classes[kept.label] if kept else None)
    return None


@lru_cache(maxsize=8)
def _files(key: tuple[str, str], part: str) -> list[tuple[str, OwnImage]]:
    """Return the images of "train", with validation, or "test" of a version by its key, in the order of decoding."""
    version = find_version(key[0])
    assert version is not None
    parts, classes = layout_of(version).images, version.contents.classes
    return [each for each in version.ordered if parts[f"{classes[each[1].label]}/{each[1].name}"][0] == part]
