"""Changes to a dataset of yours. Each returns the new version, which differs in nothing else, and can be undone."""

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import replace

from expertnet.data.own.contents import Contents, OwnImage
from expertnet.data.own.datasets import edit, free_title
from expertnet.data.own.names import Taken, alike, checked_name, tidy
from expertnet.data.own.versions import Version, open_version
from expertnet.errors import DatasetError
from expertnet.utils.text import counted, plural, printable

SPLITS = ("", "train", "validation", "test")


def fresh_id() -> str:
    return secrets.token_hex(6)


def rename_dataset(dataset: str, title: str) -> Version:
    """Change the title, which settings do not use. Raises DatasetError."""
    title = free_title(title, but=dataset)

    def change(contents: Contents) -> str:
        old, contents.title = contents.title, title
        return f"“{old}” renamed to “{title}”"

    return edit(dataset, change)


def add_class(dataset: str, name: str) -> Version:
    """Add an empty class. Raises DatasetError if the name cannot be used."""
    name = checked_name(name, "class name")

    def change(contents: Contents) -> str:
        _refuse_taken(contents, name)
        contents.classes[fresh_id()] = name
        return f"Class “{name}” added"

    return edit(dataset, change)


def rename_class(dataset: str, label: str, name: str) -> Version:
    """Rename a class by its id. Raises DatasetError if the name cannot be used."""
    name = checked_name(name, "class name")

    def change(contents: Contents) -> str:
        old = class_name(contents, label)
        _refuse_taken(contents, name, but=old)
        contents.classes[label] = name
        return f"Class “{old}” renamed to “{name}”"

    return edit(dataset, change)


def remove_class(dataset: str, label: str) -> Version:
    """Remove a class with its images. Raises DatasetError if it is gone."""

    def change(contents: Contents) -> str:
        name = class_name(contents, label)
        gone = [key for key, image in contents.images.items() if image.label == label]
        for key in gone:
            del contents.images[key]
        del contents.classes[label]
        return f"Class “{name}” removed" + (f" with {counted(len(gone), 'image')}" if gone else "")

    return edit(dataset, change)


def move_images(dataset: str, keys: Iterable[str], label: str) -> Version:
    """Move images to a class, which corrects a wrong label. Raises DatasetError if the class is gone.

    An image that is in the class already, byte for byte, is not there twice afterwards, and the change in words says so.
    """
    return relabel(dataset, dict.fromkeys(keys, label))


def relabel(dataset: str, labels: Mapping[str, str]) -> Version:
    """Move images by their ids to classes by theirs, as `move_images` does."""

    def change(contents: Contents) -> str:
        names = {label: class_name(contents, label) for label in labels.values()}
        moving = {key: image for key, image in _present(contents, labels).items() if image.label != labels[key]}
        taken = {label: Taken() for label in names}
        held: dict[str, set[str]] = {label: set() for label in names}
        for image in contents.images.values():
            if image.label in names:
                taken[image.label].names.add(image.name)
                held[image.label].add(image.digest)
        present, sources = 0, {contents.classes[image.label] for image in moving.values()}
        for key, image in moving.items():
            label = labels[key]
            if image.digest in held[label]:
                del contents.images[key]
                present += 1
                continue
            contents.images[key] = replace(image, label=label, name=taken[label].take(image.name))
            held[label].add(image.digest)
        where = f" from “{sources.pop()}”" if len(sources) == 1 else ""
        targets = {names[labels[key]] for key in moving}
        to = f"to “{targets.pop()}”" if len(targets) == 1 else f"to {len(targets)} classes"
        return f"{counted(len(moving), 'image')} moved{where} {to}{_already(present, len(moving))}"

    return edit(dataset, change)


def _already(present: int, moving: int) -> str:
    """Say how many of the images that move were in their class before, or ""."""
    if not present:
        return ""
    if present == moving:
        return f", where {plural(moving, 'it was', 'they were')} already"
    return f", of which {present:,} {plural(present, 'was', 'were')} there already"


def remove_images(dataset: str, keys: Iterable[str]) -> Version:
    """Remove images. Those that are gone already are ignored."""

    def change(contents: Contents) -> str:
        gone = _present(contents, keys)
        for key in gone:
            del contents.images[key]
        names = {contents.classes[image.label] for image in gone.values()}
        where = f" from “{names.pop()}”" if len(names) == 1 else ""
        return f"{counted(len(gone), 'image')} removed{where}"

    return edit(dataset, change)


def rename_image(dataset: str, key: str, name: str) -> Version:
    """Rename an image; its ending stays. Raises DatasetError if the name is taken in its class."""
    name = checked_name(name, "name of the image")

    def change(contents: Contents) -> str:
        image = _present(contents, [key]).get(key)
        if image is None:
            raise DatasetError("The image was removed in the meantime. Reload the page.")
        ending = image.name.rpartition(".")[2]
        full = name if name.lower().endswith(f".{ending.lower()}") else f"{name}.{ending}"
        if full != image.name and any(
            other.label == image.label and other.name == full for other in contents.images.values()
        ):
            raise DatasetError(f"The class has another image “{full}”. Choose another name.")
        contents.images[key] = replace(image, name=full)
        return f"Image “{image.name}” renamed to “{full}”"

    return edit(dataset, change)


def assign_splits(dataset: str, splits: Mapping[str, str], what: str) -> Version:
    """Say which images are for "train", "validation" and "test", "" for neither, and why in `what`, the change in words."""
    assert set(splits.values()) <= set(SPLITS)

    def change(contents: Contents) -> str:
        for key, image in _present(contents, splits).items():
            if image.split != splits[key]:
                contents.images[key] = replace(image, split=splits[key])
        return what

    return edit(dataset, change)


def class_name(contents: Contents, label: str) -> str:
    """Return the name of a class. Raises DatasetError if it is gone."""
    if label not in contents.classes:
        raise DatasetError("The class was removed in the meantime. Reload the page.")
    return contents.classes[label]


def class_id(dataset: str, name: str) -> str:
    """Return the id of a class by its name, which may differ in case, after adding it if there is none. Raises DatasetError."""
    if alike(open_version(dataset).contents.classes.values(), tidy(name)) is None:
        add_class(dataset, name)
    return class_named(open_version(dataset).contents, name)


def class_named(contents: Contents, name: str) -> str:
    """Return the id of a class by its name, which may differ in case. Raises DatasetError if there is none."""
    name = tidy(name)
    known = alike(contents.classes.values(), name)
    if known is None:
        raise DatasetError(
            f"“{contents.title}” has no class “{printable(name[:80])}”. It has {', '.join(list(contents.classes.values())[:20])}."
        )
    return next(key for key, value in contents.classes.items() if value == known)


def _refuse_taken(contents: Contents, name: str, but: str | None = None) -> None:
    known = alike((other for other in contents.classes.values() if other != but), name)
    if known is not None:
        same = "" if known == name else ", which differs in case only"
        raise DatasetError(f"There is already a class “{known}”{same}. Choose another name.")


def _present(contents: Contents, keys: Iterable[str]) -> dict[str, OwnImage]:
    """Return the images that are still there: another tab may have removed some."""
    return {key: contents.images[key] for key in keys if key in contents.images}
