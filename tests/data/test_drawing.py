"""Drawings get the sharpness and the margins of the images that a network was trained on."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from expertnet.data.drawing import load_drawing
from expertnet.data.images import load_image


def png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def drawn(light_on_dark, top=8, left=24):
    """A bar, 32 high and 8 wide, whose lower half is 16 wide, on paper of 64 x 64 pixels."""
    pixels = np.zeros((64, 64), np.uint8)
    pixels[top : top + 32, left : left + 8] = 255
    pixels[top + 16 : top + 32, left : left + 16] = 255
    return png(pixels if light_on_dark else 255 - pixels)


# The ink is 32 high and 16 wide, so that its square begins 8 pixels to the left of it. A pixel of 8 x 8 is the mean of 4 x 4.
EXPECTED = torch.zeros(8, 8, dtype=torch.uint8)
EXPECTED[:, 2:4] = 255
EXPECTED[4:, 2:6] = 255


@pytest.mark.parametrize("light_on_dark", [True, False])
@pytest.mark.parametrize(("top", "left"), [(8, 24), (0, 0), (32, 48)])
def test_a_drawing_is_cropped_to_its_ink_wherever_it_is_and_reduced(light_on_dark, top, left):
    found = load_drawing(drawn(light_on_dark, top, left), 8, 8, light_on_dark)
    expected = EXPECTED if light_on_dark else 255 - EXPECTED
    assert torch.equal(found, expected.expand(3, 8, 8))


def test_a_reduced_drawing_is_enlarged_as_the_images_of_the_dataset_are():
    expected = load_image(png(EXPECTED.numpy()), 32)
    assert torch.equal(load_drawing(drawn(True), 32, 8, True), expected)


def test_without_a_native_size_a_drawing_is_an_image_like_others():
    assert torch.equal(load_drawing(drawn(True), 32, None, True), load_image(drawn(True), 32))


@pytest.mark.parametrize("light_on_dark", [True, False])
def test_paper_without_ink_is_paper(light_on_dark):
    paper = 0 if light_on_dark else 255
    found = load_drawing(png(np.full((64, 64), paper, np.uint8)), 8, 8, light_on_dark)
    assert torch.equal(found, torch.full((3, 8, 8), paper, dtype=torch.uint8))
