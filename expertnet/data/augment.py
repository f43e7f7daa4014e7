"""Augment whole batches of images on their device, with an independent draw per image.

The generators live on the CPU, so that a run draws the same numbers on every device.
"""

from random import Random

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from expertnet.settings.schema import DataSettings


def _draw(high: int, count: int, generator: Generator, device: torch.device) -> Tensor:
    """Draw `count` integers from 0 to high - 1."""
    return torch.randint(high, (count,), generator=generator).to(device, non_blocking=True)


def random_crop(images_NCHW: Tensor, padding: int, generator: Generator, reflect: bool = False) -> Tensor:
    """Pad each image on all sides, with zeros or its reflection, and crop it back to its size at a random place."""
    n, _, height, width = images_NCHW.shape
    device = images_NCHW.device
    padded = reflected(images_NCHW, padding) if reflect else F.pad(images_NCHW, (padding,) * 4)
    top, left = (_draw(2 * padding + 1, n, generator, device) for _ in range(2))
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)  # (N, C, places, places, H, W), a view
    return windows[torch.arange(n, device=device), :, top, left]


def reflected(images_NCHW: Tensor, padding: int) -> Tensor:
    """Pad images of any type on all sides with their reflection at the edge, which is not repeated."""
    for dim in (2, 3):
        before = images_NCHW.narrow(dim, 1, padding).flip(dim)
        after = images_NCHW.narrow(dim, images_NCHW.shape[dim] - 1 - padding, padding).flip(dim)
        images_NCHW = torch.cat((before, images_NCHW, after), dim)
    return images_NCHW


def random_flip(images_NCHW: Tensor, generator: Generator) -> Tensor:
    """Mirror each image left to right with probability 1/2."""
    flipped = _draw(2, len(images_NCHW), generator, images_NCHW.device).bool()
    return torch.where(flipped[:, None, None, None], images_NCHW.flip(3), images_NCHW)


def alternating_flip(images_NCHW: Tensor, turns_N: Tensor) -> Tensor:
    """Mirror each image in every second of its turns, the odd ones (Jordan 2024, arXiv:2404.00498)."""
    return torch.where((turns_N % 2 == 1)[:, None, None, None], images_NCHW.flip(3), images_NCHW)


def cutout(images_NCHW: Tensor, size: int, generator: Generator) -> Tensor:
    """Set a size x size square of each image to zero (DeVries 2017, arXiv:1708.04552).

    Its center is anywhere in the image, so part of it may lie outside.
    """
    n, _, height, width = images_NCHW.shape
    device = images_NCHW.device
    top, left = (_draw(length, n, generator, device) - size // 2 for length in (height, width))
    rows, columns = torch.arange(height, device=device), torch.arange(width, device=device)
    in_rows = (rows >= top[:, None]) & (rows < top[:, None] + size)
    in_columns = (columns >= left[:, None]) & (columns < left[:, None] + size)
    hole = in_rows[:, None, :, None] & in_columns[:, None, None, :]
    return images_NCHW.masked_fill(hole, 0)


def augment(
    images_NCHW: Tensor, data: DataSettings, flips: bool, generator: Generator, turns_N: Tensor | None = None
) -> Tensor:
    """Crop, flip and erase a uint8 batch as set. `flips` is `data.flip` resolved for the dataset.

    `turns_N` are given if flips alternate.
    """
    if data.crop_padding:
        images_NCHW = random_crop(images_NCHW, data.crop_padding, generator, data.crop_fill == "reflect")
    if flips and turns_N is not None:
        images_NCHW = alternating_flip(images_NCHW, turns_N)
    elif flips:
        images_NCHW = random_flip(images_NCHW, generator)
    if data.cutout:
        images_NCHW = cutout(images_NCHW, data.cutout, generator)
    return images_NCHW


def normalize(images_N3HW: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Return uint8 images as float32, normalized with the dataset's mean (3,) and standard deviation (3,)."""
    return (images_N3HW.float() / 255 - mean[:, None, None]) / std[:, None, None]


def resized(images_NCHW: Tensor, size: int) -> Tensor:
    """Resize float images to size x size pixels with a triangle filter, which averages the pixels it merges."""
    if images_NCHW.shape[-1] == size:
        return images_NCHW
    return F.interpolate(images_NCHW, (size, size), mode="bilinear", antialias=True)


def mix(images_NCHW: Tensor, data: DataSettings, random: Random, generator: Generator) -> tuple[Tensor, Tensor, float]:
    """Mix each image with another of the batch by Mixup or CutMix, at random if both are on.

    Mixup blends (Zhang 2018, arXiv:1710.09412), CutMix pastes a rectangle (Yun 2019, arXiv:1905.04899). Returns the
    images, the index of each image's partner (N,), and the share of the image itself, one per batch as in both papers.
    """
    partner = torch.randperm(len(images_NCHW), generator=generator).to(images_NCHW.device, non_blocking=True)
    blend = data.mixup > 0 and (not data.cutmix or random.random() < 0.5)
    alpha = data.mixup if blend else data.cutmix
    share = random.betavariate(alpha, alpha)
    if blend:
        return images_NCHW.lerp(images_NCHW[partner], 1 - share), partner, share
    height, width = images_NCHW.shape[2:]
    rows, columns = ((length * (1 - share) ** 0.5) / 2 for length in (height, width))
    row, column = random.uniform(0, height), random.uniform(0, width)
    top, bottom = (min(max(round(row + half), 0), height) for half in (-rows, rows))
    left, right = (min(max(round(column + half), 0), width) for half in (-columns, columns))
    mixed = images_NCHW.clone()
    mixed[:, :, top:bottom, left:right] = images_NCHW[partner, :, top:bottom, left:right]
    return mixed, partner, 1 - (bottom - top) * (right - left) / (height * width)
