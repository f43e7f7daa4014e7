"""What a run knows about its images, and whether others are the same."""

import re
from dataclasses import asdict, dataclass
from typing import Any, Self

from expertnet.data import cache
from expertnet.data.builtin import BUILTIN
from expertnet.data.cache import Decoded
from expertnet.errors import DatasetError
from expertnet.utils.text import counted, cut


@dataclass(frozen=True)
class DatasetInfo:
    """What a run needs to know about its dataset without the images."""

    name: str  # of a built-in dataset, folder or archive
    classes: tuple[str, ...]
    mean: tuple[float, ...]  # of train and validation together, per channel, pixels from 0 to 1
    std: tuple[float, ...]
    image_size: int  # pixels
    fingerprint: str  # the key of the decoded images in the cache, from their source
    content: str = ""  # digest of the decoded images; "" in runs of older versions
    images: int = 0  # in all sets; 0 in runs of older versions
    held: int = 0  # that the dataset itself has for validation; 0 if a share is drawn by the seed

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Read the output of `to_dict`. Raises KeyError, TypeError or ValueError if it is invalid."""
        classes, mean, std = (tuple(values[key]) for key in ("classes", "mean", "std"))
        if not all(isinstance(name, str) for name in classes):
            raise TypeError("class names must be text")
        name, fingerprint, content = str(values["name"]), str(values["fingerprint"]), str(values.get("content", ""))
        size, images = int(values["image_size"]), int(values.get("images", 0))
        return cls(name, classes, mean, std, size, fingerprint, content, images, int(values.get("held", 0)))


def find_own(own: DatasetInfo) -> Decoded | None:
    """Return the images that a run was trained on if they are cached, even if their source has changed or is gone."""
    # Imported runs are untrusted, so their fingerprint must not be used as a path unchecked.
    decoded = cache.load(own.fingerprint) if re.fullmatch(r"[\w-]{1,100}", own.fingerprint) else None
    fits = decoded and decoded.classes == own.classes and decoded.test.images.shape[-1] == own.image_size
    return decoded if fits else None


def is_own(own: DatasetInfo, found: DatasetInfo) -> bool:
    """Return whether two descriptions are of the same images, though perhaps in other places or decoded by other versions."""
    same_source = source_of(found.fingerprint) == source_of(own.fingerprint)
    return found.classes == own.classes and (same_source or found.content == own.content != "")


def refuse_other_images(title: str, own: DatasetInfo, found: DatasetInfo) -> None:
    """Raise DatasetError, which says what has changed, unless `found` are the images that a run was trained on."""
    if is_own(own, found):
        return
    added, missing = set(found.classes) - set(own.classes), set(own.classes) - set(found.classes)
    changes = [_classes(names, what) for names, what in ((added, "added"), (missing, "missing")) if names]
    if not changes and own.images not in (0, found.images):
        changes = [f"{counted(own.images, 'image')} then, {found.images:,} now"]
    raise DatasetError(
        f"{title} has changed since this run was trained: {', '.join(changes) or 'other images'}. "
        "Restore the images, or start a new run with these settings."
    )


def _classes(names: set[str], what: str) -> str:
    return f"{counted(len(names), 'class', 'classes')} {what} ({cut(', '.join(sorted(names)), 100)})"


def source_of(fingerprint: str) -> str:
    """Return a fingerprint without the version of the cache."""
    return fingerprint.rpartition("-v")[0]


def order_of(fingerprint: str) -> str:
    """Return what decides which images come in which order. That of built-in datasets is the same in all versions of the cache."""
    return source_of(fingerprint) if fingerprint.startswith(tuple(f"{name}-" for name in BUILTIN)) else fingerprint
