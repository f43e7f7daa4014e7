"""Divide images into sets in which all classes have their share, and which have no near duplicates in common."""

from collections.abc import Sequence

import numpy as np

from expertnet.curation.duplicates import Group, find_duplicates
from expertnet.curation.limits import DISTANCE
from expertnet.curation.survey import survey
from expertnet.data.own.edits import assign_splits
from expertnet.data.own.versions import Version, find_version
from expertnet.errors import DatasetError
from expertnet.settings.schema import DataSettings
from expertnet.utils.progress import Report, ShouldStop, never, silent
from expertnet.utils.text import counted


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


def hold_out_test(
    dataset: str,
    share: float,
    seed: int = 0,
    distance: int = DISTANCE,
    progress: Report = silent,
    cancelled: ShouldStop = never,
) -> Version:
    """Choose the test images of a dataset of yours anew: a share of every class, with near duplicates on one side.

    Returns the new version, which can be undone. Raises DatasetError, if the share is not between 0 and 1, too, and Cancelled.
    """
    if not 0 < share < 1:
        raise DatasetError(
            f"The share of the test images must be greater than 0 and less than 1. You entered {share:g}."
        )
    version = find_version(dataset)
    if version is None:
        raise DatasetError(f"There is no dataset {dataset!r} of yours. Only these can be split anew.")
    images = survey(DataSettings(dataset=version.reference), progress, cancelled).images
    groups = group_of_each(len(images), find_duplicates(images, distance, progress, cancelled))
    sets = divide(images["label"].to_numpy(), groups, [1 - share, share], seed)
    split_of = dict(zip(images["name"], np.where(sets == 1, "test", "train").tolist(), strict=True))
    classes = version.contents.classes
    splits = {key: split_of.get(f"{classes[image.label]}/{image.name}", "train") for key, image in version.ordered}
    count = int(sets.sum())
    return assign_splits(
        dataset, splits, f"{counted(count, 'image')} held out for the test, with near duplicates on one side"
    )
