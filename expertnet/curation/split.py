"""Divide images into sets in which all classes have their share, and which have no near duplicates in common."""

from collections.abc import Mapping, Sequence

import numpy as np

from expertnet.curation.duplicates import Group, find_duplicates
from expertnet.curation.limits import DISTANCE
from expertnet.curation.survey import survey
from expertnet.data.own.edits import assign_splits
from expertnet.data.own.versions import Version, find_version
from expertnet.errors import DatasetError
from expertnet.settings.schema import DataSettings
from expertnet.utils.progress import Report, ShouldStop, never, silent
from expertnet.utils.text import counted, listed

PARTS = ("train", "validation", "test")
NAMED = 5  # classes that a sentence names


def group_of_each(count: int, groups: Sequence[Group]) -> np.ndarray:
    """Return a group number for each of `count` images; images without duplicates have one of their own."""
    numbers = np.arange(count)
    for group in groups:
        numbers[group.rows] = group.rows[0]
    return numbers


def divide(labels: np.ndarray, groups: np.ndarray, shares: Sequence[float], seed: int) -> np.ndarray:
    """Return the set (N,), from 0, of N images with these labels and group numbers. A group is never divided.

    Class by class, groups go in random order, large ones first, to the set that lacks the most images. A class with enough
    groups has images in every set with a share. A group of several classes counts for the most common one.
    """
    random, sets = np.random.default_rng(seed), np.zeros(len(labels), dtype=int)
    _, members = np.unique(groups, return_inverse=True)
    rows_of = np.split(np.argsort(members, kind="stable"), np.cumsum(np.bincount(members))[:-1])
    main_labels = np.array([np.bincount(labels[rows]).argmax() for rows in rows_of])
    wanted = np.array(shares, dtype=float)
    for label in np.unique(main_labels):
        shuffled = random.permutation(np.flatnonzero(main_labels == label))
        own = sorted(shuffled.tolist(), key=lambda group: -len(rows_of[group]))
        lacking = wanted / wanted.sum() * sum(len(rows_of[group]) for group in own)
        filled = wanted == 0
        for place, group in enumerate(own):
            # the last groups go to sets that would have none
            must = len(own) - place <= np.count_nonzero(~filled)
            chosen = np.where(filled, -np.inf, lacking).argmax() if must else lacking.argmax()
            sets[rows_of[group]] = chosen
            lacking[chosen] -= len(rows_of[group])
            filled[chosen] = True
    return sets


def gaps(sets: Mapping[tuple[str, str], int]) -> str:
    """Say of which classes the test or validation set has no images, or return "". `sets` counts them by class and set."""
    sentences = []
    for part in ("test", "validation"):
        there = {name for (name, of), count in sets.items() if of == part and count}
        lacking = sorted({name for name, _ in sets} - there)
        if there and lacking:
            sentences.append(
                f"The {part} set has no images of {listed(f'“{name}”' for name in lacking[:NAMED])}{_more(lacking)}."
            )
    return " ".join(sentences)


def _more(names: Sequence[str]) -> str:
    return f", and of {counted(len(names) - NAMED, 'more class', 'more classes')}" if len(names) > NAMED else ""


def split_dataset(
    dataset: str,
    test: float,
    validation: float,
    seed: int = 0,
    distance: int = DISTANCE,
    progress: Report = silent,
    cancelled: ShouldStop = never,
) -> Version:
    """Choose new test and validation images for a dataset of yours: shares of every class, with near duplicates in the same set.

    With a validation share of 0, every training draws its own. Returns the new version, which can be undone. Raises DatasetError, also
    if the shares leave nothing for training, and Cancelled.
    """
    if not (0 < test < 1 and 0 <= validation < 1 and test + validation < 1):
        raise DatasetError(
            "The share of the test images must be greater than 0, that of the validation images at least 0, and both together less "
            f"than 1. You entered {test:g} and {validation:g}."
        )
    version = find_version(dataset)
    if version is None:
        raise DatasetError(f"You have no dataset {dataset!r}. Only your own datasets can be split again.")
    images = survey(DataSettings(dataset=version.reference), progress, cancelled).images
    images = images.sort_values("name", ignore_index=True)  # whatever the sets were, the seed alone decides
    groups = group_of_each(len(images), find_duplicates(images, distance, progress, cancelled))
    sets = divide(images["label"].to_numpy(), groups, [1 - test - validation, validation, test], seed)
    split_of = {name: PARTS[place] for name, place in zip(images["name"], sets.tolist(), strict=True)}
    classes = version.contents.classes
    splits = {key: split_of.get(f"{classes[image.label]}/{image.name}", "train") for key, image in version.ordered}
    _, held, tested = np.bincount(sets, minlength=3).tolist()
    counts = (
        f"{counted(held, 'image')} held out for validation and {tested:,}"
        if held
        else f"{counted(tested, 'image')} held out"
    )
    return assign_splits(dataset, splits, f"{counts} for the test, with near duplicates in the same set")
