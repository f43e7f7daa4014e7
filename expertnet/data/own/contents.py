"""What a dataset of yours contains, and patches that turn one content into another (as in RFC 7386)."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Self

Patch = dict[str, Any]  # "title", "classes" and "images" by id, with only what changes; None removes


@dataclass(frozen=True, slots=True)
class OwnImage:
    """An image file and what you say about it."""

    label: str  # id of its class
    name: str  # unique in its class
    digest: str  # SHA-256 of the file
    size: int  # bytes
    width: int  # pixels, upright
    height: int
    split: str = ""  # "train", "validation" or "test"; "" if it is drawn when a training begins


@dataclass
class Contents:
    """Classes and images by id. Ids are random, so what two browser tabs do at once never meets by chance."""

    title: str = ""
    classes: dict[str, str] = field(default_factory=dict)  # names
    images: dict[str, OwnImage] = field(default_factory=dict)

    def copy(self) -> Self:
        return replace(self, classes=dict(self.classes), images=dict(self.images))

    def counts(self) -> Counter[str]:
        """Return the number of images by class id."""
        return Counter(image.label for image in self.images.values())

    def apply(self, patch: Patch) -> None:
        """Change these contents. Raises KeyError or TypeError for a patch of other contents."""
        self.title = patch.get("title", self.title)
        for key, name in patch.get("classes", {}).items():
            if name is None:
                self.classes.pop(key, None)
            else:
                self.classes[key] = name
        for key, values in patch.get("images", {}).items():
            if values is None:
                self.images.pop(key, None)
            else:
                known = self.images.get(key)
                self.images[key] = replace(known, **values) if known else OwnImage(**values)


def difference(before: Contents, after: Contents) -> Patch:
    """Return the patch that turns one content into the other; {} if they are equal."""
    patch: Patch = {"title": after.title} if after.title != before.title else {}
    classes = _changes(before.classes, after.classes)
    images = _changes(before.images, after.images)
    for key, image in images.items():
        if image is not None:
            known = before.images.get(key)
            images[key] = _changed_fields(known, image) if known else asdict(image)
    return patch | {name: found for name, found in (("classes", classes), ("images", images)) if found}


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    removed = dict.fromkeys(key for key in before if key not in after)
    return removed | {key: value for key, value in after.items() if before.get(key) != value}


def _changed_fields(before: OwnImage, after: OwnImage) -> dict[str, Any]:
    names = (item.name for item in fields(OwnImage))
    return {name: value for name in names if (value := getattr(after, name)) != getattr(before, name)}
