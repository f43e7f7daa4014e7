"""Images unlike the training images are recognized, and no test image of the digits is."""

from dataclasses import replace

import pytest
import torch

from expertnet.data.datasets import load_test_split
from expertnet.data.info import DatasetInfo
from expertnet.inference.polarity import brightness_range, inverted, unlike_training
from expertnet.settings.fields import build_settings

DARK = DatasetInfo("d", ("a", "b"), (0.3, 0.3, 0.3), (0.3, 0.3, 0.3), 8, "not-cached")
LIGHT = replace(DARK, mean=(0.7, 0.7, 0.7))
EVEN = replace(DARK, mean=(0.45, 0.5, 0.55))  # like photos


def stroke(ink, paper):
    """A vertical line in the middle, which touches no edge."""
    image = torch.full((3, 8, 8), paper, dtype=torch.uint8)
    image[:, 2:6, 3:5] = ink
    return image


@pytest.mark.parametrize(
    ("info", "image", "sentence"),
    [
        (DARK, stroke(20, 240), "This image is dark on light, but the training images are mostly dark."),
        (LIGHT, stroke(240, 20), "This image is light on dark, but the training images are mostly light."),
        (DARK, stroke(240, 20), None),
        (LIGHT, stroke(20, 240), None),
        (EVEN, stroke(20, 240), None),
        (EVEN, stroke(240, 20), None),
        (DARK, torch.full((3, 8, 8), 255, dtype=torch.uint8), None),  # nothing is on it
        (DARK, stroke(255, 128), None),  # light, but light on gray
    ],
)
def test_polarity(info, image, sentence):
    found = unlike_training(image, info)
    assert (found and found.sentence) == sentence
    assert found is None or found.invert


def test_inverting_mends_the_polarity():
    image = stroke(20, 240)
    assert torch.equal(inverted(image), stroke(235, 15)) and unlike_training(inverted(image), DARK) is None


@pytest.mark.parametrize("size", [8, 32])
def test_no_test_image_of_the_digits_is_unlike_and_every_inverted_one_is(size):
    split, info = load_test_split(build_settings("quick", "digits", {"data.image_size": size}).data)
    assert not any(unlike_training(image, info) for image in split.images)
    found = [unlike_training(inverted(image), info) for image in split.images]
    assert sum(each is not None for each in found) == len(split)
    assert sum(each is not None and each.invert for each in found) > 0.99 * len(split)


def test_an_image_far_from_the_brightness_of_all_test_images_is_named_if_these_are_cached():
    _, info = load_test_split(build_settings("quick", "digits", {"data.image_size": 8}).data)
    low, high = brightness_range(info)
    assert 0.2 < low < high < 0.5
    black = torch.zeros(3, 8, 8, dtype=torch.uint8)
    assert "darker than any" in unlike_training(black, info).sentence
    assert "brighter than any" in unlike_training(inverted(black), info).sentence
    assert unlike_training(black, replace(info, fingerprint="not-cached")) is None
