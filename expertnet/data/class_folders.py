"""Find out which files of class folders are images of which class, for training or for the test."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from expertnet.data.images import FORMATS_TEXT, SUFFIXES
from expertnet.data.shown import MAX_DEPTH
from expertnet.data.splits import TEST_SEED, TEST_SHARE, held_out
from expertnet.errors import DatasetError

MAX_CLASSES = 10_000
LAYOUT_TEXT = "Put the images into <class>/, or into train/<class>/ and test/<class>/"


@dataclass(frozen=True)
class Layout:
    """The classes, and the files that belong to them."""

    classes: tuple[str, ...]
    images: dict[str, tuple[str, int]]  # by path: "train" or "test", and the label
    skipped: list[str]  # paths in class folders without an image suffix, or of images elsewhere
    folders: frozenset[Path] = frozenset()  # on the disk, whose change may change this; none of an archive
    held: frozenset[str] = frozenset()  # paths of training images that are for validation; empty if a share is drawn


def arrange(found: Sequence[tuple[str, bool]], title: str) -> Layout:
    """Read the classes off the paths. `found` holds the path of every entry and whether it is a folder.

    The layout is `train/<class>/*` and `test/<class>/*`, or `<class>/*`, of which a fixed fifth of every class becomes
    the test set. One wrapping folder is ignored. Raises DatasetError unless there are two classes with images in each.
    """
    files = [path for path, is_folder in found if not is_folder]
    folders = {tuple(path.split("/")) for path, is_folder in found if is_folder}
    for parents in (path.split("/")[:-1] for path in files):
        folders.update(tuple(parents[:depth]) for depth in range(1, min(len(parents) + 1, MAX_DEPTH)))
    top = {folder[:1] for folder in folders}
    wrapper = top.pop() if len(top) == 1 and any(len(folder) > 1 for folder in folders) else ()
    parts = {(*wrapper, "train"), (*wrapper, "test")}
    has_parts = parts <= folders
    depth = len(wrapper) + (2 if has_parts else 1)  # of a class folder
    members: dict[tuple[str, str], list[str]] = {}  # paths by part and class
    for folder in folders:
        if len(folder) == depth and (not has_parts or folder[:-1] in parts):
            members[folder[-2] if has_parts else "train", folder[-1]] = []
    skipped = []
    for path in files:
        file = path.split("/")
        is_image = os.path.splitext(file[-1])[1].lower() in SUFFIXES
        key = (file[-3] if has_parts else "train", file[-2]) if len(file) == depth + 1 else ("", "")
        if key in members and is_image:
            members[key].append(path)
        elif key in members or is_image:
            skipped.append(path)
    return arrange_members(members, skipped, has_parts, title)


def arrange_members(
    members: dict[tuple[str, str], list[str]],
    skipped: list[str],
    has_parts: bool,
    title: str,
    held: frozenset[str] = frozenset(),
) -> Layout:
    """Return the layout of paths by part and class. `skipped` and the errors are those of `arrange`, `held` that of Layout."""
    classes = tuple(sorted({name for part, name in members if part == "train"}))
    if len(classes) > MAX_CLASSES:
        raise DatasetError(f"{title} has more than {MAX_CLASSES:,} classes. {LAYOUT_TEXT}, with fewer classes.")
    if not any(members.values()):
        raise DatasetError(f"{title} contains no images in class folders. {LAYOUT_TEXT}, as {FORMATS_TEXT}.")
    unknown = sorted({name for part, name in members if part == "test"} - set(classes))
    if unknown:
        raise DatasetError(
            f"{title} has the class {unknown[0]!r} in test but not in train. Use the same class folders in both."
        )
    if has_parts and not any(part == "test" for part, _ in members):
        raise DatasetError(
            f"{title} has no class folders in test. Add them, or remove test to hold out a fifth of train instead."
        )
    if len(classes) < 2:
        raise DatasetError(f"{title} has only one class, {classes[0]!r}. {LAYOUT_TEXT}, with at least two classes.")
    for (part, name), paths in sorted(members.items()):
        if not paths:
            raise _no_images(title, name, part if has_parts else "")
    label_of = {name: label for label, name in enumerate(classes)}
    images = [(path, part, label_of[name]) for (part, name), paths in sorted(members.items()) for path in sorted(paths)]
    if not has_parts:
        single = [name for (_, name), paths in sorted(members.items()) if len(set(paths) - held) <= 1]
        if single:
            raise DatasetError(
                f"{title} has only one image in the class {single[0]!r}, which is too few to hold out a test set. "
                "Add images to it, or remove its folder."
            )
        drawn_from = [(path, label) for path, _, label in images if path not in held]
        places = held_out(torch.tensor([label for _, label in drawn_from]), TEST_SHARE, TEST_SEED)[1].tolist()
        test = {drawn_from[place][0] for place in places}
        images = [(path, "test" if path in test else "train", label) for path, _, label in images]
    return Layout(classes, {path: (part, label) for path, part, label in images}, skipped, held=held)


def _no_images(title: str, name: str, part: str) -> DatasetError:
    where = f" in {part}" if part else ""
    return DatasetError(
        f"{title} has no readable image in the class {name!r}{where}. Add images ({FORMATS_TEXT}), or remove its folder."
    )


def refuse_empty_classes(layout: Layout, unreadable: Sequence[str], title: str, note: str) -> None:
    """Raise DatasetError, with a note on the files to fix, if no image of a class in train or test is readable."""
    readable = {layout.images[name] for name in layout.images.keys() - set(unreadable)}
    lost = set(layout.images.values()) - readable
    if lost:
        part, label = min(lost, key=lambda pair: (pair[0] == "test", pair[1]))
        raise DatasetError(f"{_no_images(title, layout.classes[label], part)} {note}")
