"""Find images that are dark, bright, blurred, plain, or of an odd size or shape, with the thresholds of cleanvision 0.3.7."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd

FENCE = 3.0  # interquartile ranges beyond the quartiles: Tukey's outer fences
FACTOR = 2.0  # by which the side of an odd size differs from the median, so that 641 pixels beside 640 are not odd


class Kind(NamedTuple):
    """A fault of single images."""

    title: str
    meaning: str
    find: Callable[[pd.DataFrame], pd.Series]  # from the images of a survey, one truth value each


def _odd_size(images: pd.DataFrame) -> pd.Series:
    side = (images["width"] * images["height"]) ** 0.5
    low, middle, high = side.quantile([0.25, 0.5, 0.75])
    fence = FENCE * (high - low)
    beyond = (side < low - fence) | (side > high + fence)
    return beyond & ((side > middle * FACTOR) | (side < middle / FACTOR))


KINDS = {
    "dark": Kind("Dark", "Even the brightest parts are dark.", lambda images: images["brightest"] < 0.32),
    "bright": Kind("Bright", "Even the darkest parts are nearly white.", lambda images: images["darkest"] > 0.95),
    "blurred": Kind(
        "Blurred", "There are hardly any edges at 64 x 64 pixels.", lambda images: images["sharpness"] < 0.29
    ),
    "plain": Kind("Plain", "Few details, as in a drawing or an empty image.", lambda images: images["detail"] < 0.3),
    "odd_size": Kind("Odd size", "The image is far larger or smaller than most.", _odd_size),
    "odd_shape": Kind(
        "Odd shape",
        "The long side is about three times the short one or more. Training sees only the central square.",
        lambda images: images[["width", "height"]].min(axis=1) < 0.35 * images[["width", "height"]].max(axis=1),
    ),
}


def find_faults(images: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return the rows of the images of a survey that have each kind of fault. The kinds without any are left out."""
    found = {name: np.flatnonzero(kind.find(images)) for name, kind in KINDS.items()}
    return {name: rows for name, rows in found.items() if len(rows)}
