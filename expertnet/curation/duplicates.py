"""Find images that are there more than once: with the same pixels, or nearly the same by a perceptual hash."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from expertnet.curation.limits import DISTANCE
from expertnet.errors import DatasetError
from expertnet.utils.progress import Report, ShouldStop, never, raise_if_cancelled, silent

ROWS = 64  # hashes that are compared with all others at a time
SETS = ("train", "validation", "test")
MOST_PAIRS = 2_000_000  # which take 32 MB


@dataclass(frozen=True, eq=False)
class Group:
    """Images that show the same."""

    rows: np.ndarray  # of Survey.images, ascending
    exact: bool  # all have the same pixels
    across_classes: bool
    sets: tuple[str, ...]  # those of SETS that they are in

    @property
    def across_sets(self) -> bool:
        return len(self.sets) > 1


def find_duplicates(
    images: pd.DataFrame, distance: int = DISTANCE, progress: Report = silent, cancelled: ShouldStop = never
) -> list[Group]:
    """Group the images of a survey whose hashes differ in at most `distance` bits, directly or through others.

    Groups across sets come first, then those across classes, then the largest. Raises DatasetError if there are too
    many to be of use, and Cancelled.
    """
    hashes, hash_of = np.unique(images["hash"].to_numpy(), return_inverse=True)
    pairs = near_pairs(hashes, distance, progress, cancelled)
    links = coo_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), shape=(len(hashes), len(hashes)))
    group_of_hash = connected_components(links, directed=False)[1]
    members = pd.Series(range(len(images))).groupby(group_of_hash[hash_of])
    groups = [group_of(images, np.array(found)) for found in members.groups.values() if len(found) > 1]
    return sorted(groups, key=lambda group: (not group.across_sets, not group.across_classes, -len(group.rows)))


def group_of(images: pd.DataFrame, rows: np.ndarray) -> Group:
    """Return images of a survey, by their rows, as a group."""

    digests, labels, sets = (set(images[column].to_numpy()[rows]) for column in ("digest", "label", "set"))
    return Group(rows, len(digests) == 1, len(labels) > 1, tuple(name for name in SETS if name in sets))


def near_pairs(
    hashes: np.ndarray, distance: int, progress: Report = silent, cancelled: ShouldStop = never
) -> np.ndarray:
    """Return the pairs (P, 2) of hashes (N,) uint64 that differ in at most `distance` bits, the lower index first."""
    found, count = list[np.ndarray](), 0
    for start in range(0, len(hashes), ROWS):
        raise_if_cancelled(cancelled)
        progress("Comparing the images", start / len(hashes))
        different = np.bitwise_count(hashes[start : start + ROWS, None] ^ hashes[start:])
        first, second = np.nonzero(different <= distance)
        found.append(np.stack([first, second], axis=1)[first < second] + start)
        count += len(found[-1])
        if count > MOST_PAIRS:
            raise DatasetError(f"More than {MOST_PAIRS:,} pairs of images are this similar. Choose a smaller distance.")
    return np.concatenate(found) if found else np.zeros((0, 2), dtype=int)
