"""Corruptions against the libraries that made CIFAR-10-C, and at other sizes."""

import colorsys
import io

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter

from expertnet.evaluation.corruptions import (
    BLUR,
    BRIGHTNESS,
    CONTRAST,
    CORRUPTIONS,
    JPEG,
    NOISE,
    corrupted,
    jpeg_quality,
)
from expertnet.evaluation.robustness import (
    CORRUPTED,
    cached_robustness,
    corrupt_all,
    corrupted_classes,
    corruption_table,
)
from expertnet.routing.robustness import ROBUSTNESS
from tests.support.lab import measured_images, predictor, saved_run


def images(size=32, count=3):
    drawn = torch.randint(0, 256, (count, 3, 8, 8), generator=torch.Generator().manual_seed(1)).float()
    return torch.nn.functional.interpolate(drawn, size, mode="bilinear").to(torch.uint8)


@pytest.mark.parametrize("name", CORRUPTIONS)
@pytest.mark.parametrize("size", [8, 32, 96])
def test_a_corruption_keeps_shape_and_type_and_grows_with_its_strength(name, size):
    given = images(size)
    distances = [(corrupted(given, name, strength).float() - given).square().mean() for strength in range(1, 6)]
    result = corrupted(given, name, 5)
    assert result.shape == given.shape and result.dtype == torch.uint8
    assert distances[0] < distances[-1]
    assert torch.equal(result, corrupted(given, name, 5))  # the noise is always the same


def test_the_blur_is_that_of_scipy():
    given = images()
    for strength, deviation in enumerate(BLUR, 1):
        expected = gaussian_filter(given.double().numpy(), (0, 0, deviation, deviation), mode="mirror", truncate=4)
        assert np.abs(corrupted(given, "blur", strength).numpy() - expected).max() < 1.01  # rounded down


def test_jpeg_is_that_of_pillow_at_the_published_quality():
    for strength, quality in enumerate(JPEG, 1):
        given = images(count=1)
        file = io.BytesIO()
        Image.fromarray(given[0].permute(1, 2, 0).numpy()).save(file, "JPEG", quality=quality)
        expected = np.asarray(Image.open(file))
        assert (corrupted(given, "JPEG", strength)[0].permute(1, 2, 0).numpy() == expected).all()


def test_brightness_adds_to_the_value_of_hsv():
    given = torch.tensor([[[0, 100], [20, 255]], [[0, 50], [20, 10]], [[0, 0], [20, 3]]]).to(torch.uint8)[None]
    found = corrupted(given, "brightness", 3)[0].flatten(1).T.tolist()
    for pixel, bright in zip(given[0].flatten(1).T.tolist(), found, strict=True):
        hue, saturation, value = colorsys.rgb_to_hsv(*(channel / 255 for channel in pixel))
        expected = colorsys.hsv_to_rgb(hue, saturation, min(value + BRIGHTNESS[2], 1))
        assert bright == pytest.approx([255 * channel for channel in expected], abs=1.01)


def test_contrast_and_noise_have_the_published_strengths():
    given = images()
    for strength, left in enumerate(CONTRAST, 1):
        spread = corrupted(given, "contrast", strength).double().std((2, 3))
        torch.testing.assert_close(spread, given.double().std((2, 3)) * left, rtol=0.02, atol=0.5)
    gray = torch.full((20, 3, 32, 32), 128, dtype=torch.uint8)
    for strength, deviation in enumerate(NOISE, 1):
        assert corrupted(gray, "noise", strength).double().std().item() == pytest.approx(255 * deviation, rel=0.02)


def test_strengths_follow_the_image_size():
    assert [jpeg_quality(quality, 32) for quality in JPEG] == list(JPEG)
    assert (
        jpeg_quality(80, 128) == 60 and jpeg_quality(40, 128) == 20
    )  # twice the steps: 80% instead of 40%, 250% of 125%
    gray = torch.full((8, 3, 128, 128), 128, dtype=torch.uint8)
    assert corrupted(gray, "noise", 1).double().std().item() == pytest.approx(2 * 255 * NOISE[0], rel=0.02)
    edge = torch.zeros(1, 3, 128, 128, dtype=torch.uint8)
    edge[..., 64:] = 255
    small = torch.zeros(1, 3, 32, 32, dtype=torch.uint8)
    small[..., 16:] = 255
    wide = corrupted(edge, "blur", 5)[0, 0, 64, ::4].float()
    assert (wide - corrupted(small, "blur", 5)[0, 0, 16].float()).abs().max() < 45  # as wide a share of the image


def test_every_corruption_is_measured_on_the_same_images():
    network, split = predictor(), measured_images(40).evaluated
    found = corrupt_all(network, "test", split)
    assert found.answers.shape == (5, 5, 40) and found.moved.shape == (5, 5, 3)
    place = list(CORRUPTIONS).index("contrast")
    probabilities, routing = network(corrupted(split.images, "contrast", 4))
    assert torch.equal(found.answers[place, 3], probabilities.argmax(1))
    _, before = network(split.images)
    moved = (routing - before).abs().sum(2).mean(0) / 2
    torch.testing.assert_close(found.moved[place, 3], moved, atol=1e-5, rtol=1e-4)
    table = corruption_table(found, (2, 3))
    row = table[(table["corruption"] == "contrast") & (table["strength"] == 4)].iloc[0]
    assert row["moved"] == pytest.approx(moved[1:].mean().item(), abs=1e-5)
    assert row["accuracy"] == pytest.approx((found.answers[place, 3] == split.labels).double().mean().item())
    assert (table[table["strength"] == 0]["change"] == 0).all()
    by_class = corrupted_classes(found, ("red", "blue"))
    assert by_class["noise"].mean() == pytest.approx(table[table["corruption"] == "noise"]["accuracy"][1:].mean())


def test_corruptions_and_the_damages_of_the_lab_are_kept_beside_each_other(tmp_path):
    run, images = saved_run(tmp_path / "runs"), measured_images()
    found = CORRUPTED.measure(run, ("validation", images.evaluated))
    ROBUSTNESS.measure(run, images)
    kept = cached_robustness(run, "validation")
    assert torch.equal(kept.answers, found.answers) and torch.equal(kept.moved, found.moved)
    assert ROBUSTNESS.cached(run, "validation") is not None and cached_robustness(run, "test") is None
