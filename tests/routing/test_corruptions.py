"""Damaged images, with results by hand."""

import pytest
import torch

from expertnet.routing.corruptions import CORRUPTIONS, corrupted
from tests.support.lab import random_images

GRAY = torch.full((4, 3, 32, 32), 100, dtype=torch.uint8)


@pytest.mark.parametrize("name", CORRUPTIONS)
@pytest.mark.parametrize("side", [8, 32, 33])
def test_damage_keeps_shape_and_type_and_is_the_same_every_time(name, side):
    images = torch.randint(0, 256, (3, 3, side, side), generator=torch.Generator().manual_seed(1)).to(torch.uint8)
    found = corrupted(name, images)
    assert found.shape == images.shape and found.dtype == torch.uint8 and not torch.equal(found, images)
    assert torch.equal(found, corrupted(name, images))


def test_noise_has_its_standard_deviation():
    values = corrupted("noise", GRAY).double()
    assert values.std().item() == pytest.approx(25, rel=0.03) and values.mean().item() == pytest.approx(100, abs=1)


def test_smooth_images_are_neither_blurred_nor_pixelated():
    assert torch.equal(corrupted("blur", GRAY), GRAY) and torch.equal(corrupted("pixelation", GRAY), GRAY)


def test_a_point_is_blurred_into_a_gaussian():
    """With a standard deviation of 1 pixel, the center keeps 1 / (sum of exp(-x^2 / 2) from -3 to 3)^2 = 0.1592 of 255."""
    point = torch.zeros(1, 3, 32, 32, dtype=torch.uint8)
    point[..., 16, 16] = 255
    blurred = corrupted("blur", point)
    assert blurred[0, 0, 16, 15:18].tolist() == [25, 41, 25]


def test_light_and_contrast_shrink_and_squares_are_averaged_or_hidden():
    halves = torch.tensor([0, 200], dtype=torch.uint8).repeat(1, 3, 4, 2)  # columns of 0 and 200, a mean of 100
    assert corrupted("darkness", halves).unique().tolist() == [0, 100]
    assert corrupted("contrast", halves).unique().tolist() == [60, 140]
    assert corrupted("pixelation", halves).unique().tolist() == [100]
    hidden = (corrupted("occlusion", random_images(50).clamp_min(1)) == 0).all(1).sum((1, 2))
    assert hidden.max() == 4 and hidden.min() >= 1  # a square of 8 // 3 pixels, or its part inside
