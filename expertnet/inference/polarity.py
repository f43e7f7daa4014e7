"""Say when an image is unlike the training images in polarity or brightness, which a network answers with confidence anyway."""

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from expertnet.data.info import DatasetInfo, find_own

ONE_SIDED = 0.1  # how far the training images' mean is from middle gray if they are mostly dark or mostly light
OPPOSITE = 0.05  # how far beyond middle gray an image is
BEYOND = 0.1  # how far an image's mean is beyond those of all test images


@dataclass(frozen=True)
class Unlike:
    """How an image differs from the training images, and whether swapping light and dark would help."""

    sentence: str
    invert: bool


def unlike_training(image_3SS: Tensor, info: DatasetInfo) -> Unlike | None:
    """Return how a uint8 image differs from a run's training images, or None if it does not.

    Polarity: the training images are mostly dark, this image is mostly light, and its edge is lighter than its middle (or the
    reverse of all three). Brightness: the mean is far from those of all test images, if these are cached.
    """
    gray_SS = image_3SS.float().mean(0) / 255
    mean, usual = gray_SS.mean().item(), sum(info.mean) / len(info.mean)
    is_light = mean > 0.5
    one_sided = abs(usual - 0.5) > ONE_SIDED and (usual > 0.5) != is_light
    if one_sided and abs(mean - 0.5) > OPPOSITE and (_edge(gray_SS) > mean) == is_light:
        own, other = ("dark on light", "dark") if is_light else ("light on dark", "light")
        return Unlike(f"This image is {own}, but the training images are mostly {other}.", True)
    limits = brightness_range(info)
    if limits is not None and not limits[0] - BEYOND <= mean <= limits[1] + BEYOND:
        how = "brighter" if mean > limits[1] else "darker"
        return Unlike(f"This image is much {how} than any of the network's test images.", False)
    return None


def inverted(image: Tensor) -> Tensor:
    """Return a uint8 image with light and dark swapped."""
    return 255 - image


def brightness_range(info: DatasetInfo) -> tuple[float, float] | None:
    """Return the lowest and the highest mean of a test image, from 0 to 1; None if the images are not cached."""
    return None if find_own(info) is None else _range(info)


@lru_cache(maxsize=16)
def _range(info: DatasetInfo) -> tuple[float, float] | None:
    found = find_own(info)
    if found is None:
        return None
    means = found.test.images.numpy().mean(axis=(1, 2, 3), dtype="float32") / 255
    return float(means.min()), float(means.max())


def _edge(gray_SS: Tensor) -> float:
    """Return the mean of the outer eighth on all four sides."""
    width = max(gray_SS.shape[-1] // 8, 1)
    is_edge = torch.ones_like(gray_SS, dtype=torch.bool)
    is_edge[width:-width, width:-width] = False
    return gray_SS[is_edge].mean().item()
