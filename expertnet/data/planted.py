"""Two datasets drawn by code, with a known answer to whether routing can help: `shapes` and `contexts`.

Both have the same images: a shape on a gray card on a background of another color and texture. In `shapes`, the class is the shape. In
`contexts`, it is what the shape means on its background, with another rule for each background, in the spirit of the clustered tasks of
Chen 2022 (arXiv:2208.02813). The card keeps the shape away from the background: at 32 pixels, they are at least 9 pixels apart, so
that small windows hardly show both. All shapes have the same area, so that the mean color does not tell them apart.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import numpy as np

from expertnet.errors import DatasetError
from expertnet.utils.progress import ShouldStop, never, raise_if_cancelled

if TYPE_CHECKING:  # it takes half a second to import
    import pandas as pd

SHAPES = ("circle", "square", "triangle", "cross")
MEANINGS = ("go", "stop", "left", "right")  # the classes of `contexts`
COLORS = {"white": (240, 240, 240), "black": (25, 25, 25), "orange": (245, 150, 30), "violet": (120, 50, 160)}
BACKGROUNDS = {"green": (70, 145, 75), "yellow": (205, 180, 75), "blue": (65, 110, 185)}
RULES = {  # of `contexts`: what each background makes of the SHAPES, in their order
    "green": ("go", "stop", "left", "right"),
    "yellow": ("stop", "go", "left", "right"),
    "blue": ("go", "stop", "right", "left"),
}
TEXTURES = ("plain", "stripes", "checks", "dots")
CLASSES = {"shapes": ("shape", SHAPES), "contexts": ("meaning", MEANINGS)}  # by dataset: the factor, and its values
PARTS = {"train": 4200, "test": 1800}  # images of the built-in datasets
SMALLEST, LARGEST = 8, 1024  # pixels

RADIUS = 0.12  # of the circle, as a share of the image's width; the other shapes have its area
CARD, CARD_COLOR = 0.485, 128  # radius of the card
FARTHEST = 0.2  # of the center of a card from that of the image, in x and y
CONTRAST, NOISE, PERIODS = 30, 12, 6  # of a texture and of every pixel, out of 255; of a texture across the image
BATCH_PIXELS = 2**17  # drawn at once


def meaning(shape: np.ndarray, background: np.ndarray) -> np.ndarray:
    """Return the classes of `contexts` for the numbers of shapes and backgrounds, by RULES.

    The background alone says nothing about the class. The shape alone says it for two thirds of the images, because two backgrounds agree
    on every shape. Networks learn the shapes from these: from rules that never agree, they learn nothing at all.
    """
    rules = np.array([[MEANINGS.index(name) for name in RULES[background]] for background in BACKGROUNDS])
    return rules[background, shape]


def factors(part: str = "train", count: int | None = None, seed: int = 0) -> pd.DataFrame:
    """Return what the images of a part, train or test, show: a row per image, in the order of the images.

    The columns are the categories shape, color, background and texture, x and y of the center as shares of the width, rotation in
    degrees, and meaning, the class in `contexts`. Every shape is on every background equally often, to within one image. `count`
    and `seed` draw other images than those of the built-in datasets. Raises DatasetError.
    """
    import pandas as pd

    if part not in PARTS:
        raise DatasetError(f"Images are drawn for the parts train and test. You asked for {part!r}.")
    count = PARTS[part] if count is None else count
    if count < 1:
        raise DatasetError(f"At least one image must be drawn. You asked for {count}.")
    random = np.random.default_rng((seed, list(PARTS).index(part)))
    pairs = random.permutation(count) % (len(SHAPES) * len(BACKGROUNDS))
    shape, background = pairs % len(SHAPES), pairs // len(SHAPES)
    color, texture = (random.integers(len(names), size=count) for names in (COLORS, TEXTURES))
    x, y = 0.5 + FARTHEST * (2 * random.random((2, count)) - 1)
    codes: dict[str, tuple[np.ndarray, Iterable[str]]] = {
        "shape": (shape, SHAPES),
        "color": (color, COLORS),
        "background": (background, BACKGROUNDS),
        "texture": (texture, TEXTURES),
        "meaning": (meaning(shape, background), MEANINGS),
    }
    named = {
        column: pd.Categorical.from_codes(numbers, pd.Index(list(names))) for column, (numbers, names) in codes.items()
    }
    return pd.DataFrame(named | {"x": x, "y": y, "rotation": random.integers(360, size=count)})


def telling(dataset: str) -> list[int]:
    """Return places of test images that show what decides the class, to tell the datasets apart.

    They are every shape on one background, or in `contexts` the same shapes on every background.
    """
    table = factors("test")
    if dataset == "contexts":
        found = table.groupby(["shape", "background"], observed=True).head(1).sort_values(["shape", "background"])
    else:
        found = table[table["background"] == next(iter(BACKGROUNDS))].groupby("shape", observed=True).head(2)
        found = found.assign(rank=found.groupby("shape", observed=True).cumcount()).sort_values(["rank", "shape"])
    return found.index.tolist()


def draw(
    table: pd.DataFrame,
    size: int = 32,
    seed: int = 0,
    progress: Callable[[float], object] = lambda share: None,
    cancelled: ShouldStop = never,
) -> np.ndarray:
    """Return the images (N, size, size, 3) uint8 of a table of factors. The seed is that of the noise.

    Raises DatasetError or Cancelled.
    """
    if not SMALLEST <= size <= LARGEST:
        raise DatasetError(f"Images can be drawn with {SMALLEST} to {LARGEST:,} pixels a side. You asked for {size}.")
    random, images = np.random.default_rng(seed), np.empty((len(table), size, size, 3), np.uint8)
    batch = max(BATCH_PIXELS // size**2, 1)
    for start in range(0, len(table), batch):
        raise_if_cancelled(cancelled)
        progress(start / len(table))
        images[start : start + batch] = _drawn(table[start : start + batch], size, random)
    return images


def _drawn(table: pd.DataFrame, size: int, random: np.random.Generator) -> np.ndarray:
    # In float64 and without sin and cos, whose last bits differ between processors
    color, background = (
        np.array(list(palette.values()), float)[table[column].cat.codes]
        for column, palette in (("color", COLORS), ("background", BACKGROUNDS))
    )
    pixels = (np.arange(size) + 0.5) / size
    image = background[:, None, None] + CONTRAST * _texture(table, pixels, random)[..., None]
    x = pixels[None, None, :] - table["x"].to_numpy()[:, None, None]
    y = pixels[None, :, None] - table["y"].to_numpy()[:, None, None]
    image = _covered(image, (np.sqrt(x * x + y * y) - CARD) * size, np.full((len(table), 3), CARD_COLOR))
    image = _covered(image, _distance(table, x, y) * size, color)
    image += random.integers(-NOISE, NOISE + 1, image.shape)
    return image.round().clip(0, 255).astype(np.uint8)


def _covered(image_NSS3: np.ndarray, distance_NSS: np.ndarray, color_N3: np.ndarray) -> np.ndarray:
    """Paint where the signed distance in pixels is negative, with a soft edge of one pixel."""
    share = np.clip(0.5 - distance_NSS, 0, 1)[..., None]
    return image_NSS3 + share * (color_N3[:, None, None] - image_NSS3)


def _texture(table: pd.DataFrame, pixels_S: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return the textures (N, S, S), from -1 to 1, each shifted at random."""
    phase = random.random((2, len(table), 1))
    across, down = (_wave(PERIODS * pixels_S + shift)[:, None, :] for shift in phase)
    down = down.transpose(0, 2, 1)
    kinds = (
        np.zeros_like(across * down),
        _wave(PERIODS * (pixels_S + pixels_S[:, None]) + phase[0][..., None]),
        across * down,
        2 * np.maximum((across + down) / 2, 0) - 0.5,
    )
    return np.choose(table["texture"].cat.codes.to_numpy()[:, None, None], kinds)


def _wave(t: np.ndarray) -> np.ndarray:
    """Return a triangular wave with the period 1, from -1 to 1."""
    return 4 * np.abs(t - np.floor(t) - 0.5) - 1


def _distance(table: pd.DataFrame, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the signed distance (N, S, S) of each pixel to the outline of the rotated shape; negative inside."""
    turns = np.array(
        [(math.cos(math.radians(degrees)), math.sin(math.radians(degrees))) for degrees in table["rotation"]]
    )
    cos, sin = turns.T[:, :, None, None]
    u, v = np.abs(cos * x + sin * y), cos * y - sin * x
    shape, found = table["shape"].cat.codes.to_numpy(), np.empty(u.shape)
    for number, outline in enumerate((_circle, _square, _triangle, _cross)):
        found[shape == number] = outline(u[shape == number], v[shape == number])
    return found


# Each takes |u| and v, since all are symmetric.


def _circle(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.sqrt(u * u + v * v) - RADIUS


def _square(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.maximum(u, np.abs(v)) - RADIUS * math.sqrt(math.pi) / 2


def _triangle(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.maximum(math.sqrt(3) / 2 * u + v / 2, -v) - RADIUS * math.sqrt(math.pi / math.sqrt(27))


def _cross(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Two bars, three times as long as wide."""
    v, half = np.abs(v), RADIUS * math.sqrt(9 * math.pi / 20)
    return np.maximum(np.maximum(u, v) - half, np.minimum(u, v) - half / 3)
