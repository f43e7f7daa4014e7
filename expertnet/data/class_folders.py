"""Class folders -> which file is an image of which class, and whether of the training or of the test set.

In this module: Layout, arrange, and decode, which reads the images that a layout names.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from expertnet.data.builtin import TEST_SEED, TEST_SHARE
from expertnet.data.images import FORMATS_TEXT, SUFFIXES
from expertnet.data.splits import held_out
from expertnet.errors import DatasetError

LAYOUT_TEXT = "put the images into <class>/, or into train/<class>/ and test/<class>/"


@dataclass(frozen=True)
class Layout:
    classes: tuple[str, ...]
    images: dict[str, tuple[str, int]]  # path -> "train" or "test", number of the class
    passed_over: list[str]  # files in class folders that are no images by their name


def arrange(found: Sequence[tuple[str, bool]], title: str) -> Layout:
    """Reads the classes off the paths: `found` is (path, whether it is a folder) of every entry.

    `train/<class>/*` and `test/<class>/*`, or `<class>/*`, of which a fifth of every class becomes the test set, always
    the same one; all of it may lie in one wrapping folder. Raises DatasetError where that does not give two classes or
    more with images in each.
    """
    files = [path.split("/") for path, is_folder in found if not is_folder]
    folders = {tuple(parts[:depth]) for parts in files for depth in range(1, len(parts))}
    folders |= {tuple(path.split("/")) for path, is_folder in found if is_folder}
    top = {parts[0] for parts in folders}
    wrapper = next(iter(top)) if len(top) == 1 and any(len(parts) > 1 for parts in folders) else ""
    depth = 1 if wrapper else 0
    parts_of = {"train": (*([wrapper] if wrapper else []), "train"), "test": (*([wrapper] if wrapper else []), "test")}
    two_levels = all(parts in folders for parts in parts_of.values())
    length = depth + (3 if two_levels else 2)  # of the path of an image
    members: dict[tuple[str, str], list[str]] = {}
    for folder in folders:
        if len(folder) == length - 1 and (not two_levels or folder[:-1] in parts_of.values()):
            members[folder[-2] if two_levels else "train", folder[-1]] = []
    passed_over = []
    for parts in files:
        key = (parts[-3] if two_levels else "train", parts[-2]) if len(parts) == length else ("", "")
        is_image = os.path.splitext(parts[-1])[1].lower() in SUFFIXES
        if key in members and is_image:
            members[key].append("/".join(parts))
        elif key in members or is_image:  # an image outside of the class folders, or something else inside of one
            passed_over.append("/".join(parts))
    return _checked(members, passed_over, two_levels, title)


def _checked(members: dict[tuple[str, str], list[str]], passed_over: list[str], two_levels: bool, title: str) -> Layout:
    classes = tuple(sorted({name for part, name in members if part == "train"}))
    if not any(members.values()):
        raise DatasetError(f"{title} holds no images in class folders; {LAYOUT_TEXT}, as {FORMATS_TEXT}.")
    strange = sorted({name for part, name in members if part == "test"} - set(classes))
    if strange:
        raise DatasetError(
            f"{title} has the class {strange[0]!r} in test but not in train; name the class folders alike in both."
        )
    if two_levels and not any(part == "test" for part, _ in members):
        raise DatasetError(
            f"{title} has no class folders in test; fill it, or remove it to have a fifth of train held out."
        )
    if len(classes) < 2:
        raise DatasetError(f"{title} has the single class {classes[0]!r}; {LAYOUT_TEXT}, with two classes or more.")
    for (part, name), paths in sorted(members.items()):
        if not paths:
            raise _empty(title, name, part if two_levels else "")
    number = {name: index for index, name in enumerate(classes)}
    labelled = [(part, number[name], path) for (part, name), paths in sorted(members.items()) for path in sorted(paths)]
    if not two_levels:
        single = [name for (_, name), paths in sorted(members.items()) if len(paths) == 1]
        if single:
            raise DatasetError(
                f"{title} has too few images to hold some out for the test, a single one in the class {single[0]!r}; "
                "add images to it, or remove its folder."
            )
        _, aside = held_out(torch.tensor([label for _, label, _ in labelled]), TEST_SHARE, TEST_SEED)
        tested = set(aside.tolist())
        labelled = [
            ("test" if index in tested else "train", label, path) for index, (_, label, path) in enumerate(labelled)
        ]
    return Layout(classes, {path: (part, label) for part, label, path in labelled}, passed_over)


def _empty(title: str, name: str, part: str) -> DatasetError:
    where = f" in {part}" if part else ""
    return DatasetError(
        f"{title} has no image that can be read in the class {name!r}{where}; add images ({FORMATS_TEXT}) "
        "or remove its folder."
    )


def refuse_lost_classes(layout: Layout, train: Tensor, test: Tensor, title: str) -> None:
    """Raises DatasetError where, among the labels of the images that could be decoded, a class has none left."""
    for part, labels in (("train", train), ("test", test)):
        planned = {label for place, label in layout.images.values() if place == part}
        lost = sorted(planned - set(labels.unique().tolist()))
        if lost:
            raise _empty(title, layout.classes[lost[0]], part)
