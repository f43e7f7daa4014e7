"""Augmentation crops, mirrors, erases and mixes each image independently."""

from random import Random

import pytest
import torch

from expertnet.data import augment
from expertnet.settings.schema import DataSettings


def random_images(n=64, size=8):
    # From 1 to 255, because 0 is padding.
    return torch.randint(1, 256, (n, 3, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(3))


def test_each_crop_is_a_random_window_of_the_padded_image():
    images = random_images()
    cropped = augment.random_crop(images, 2, torch.Generator().manual_seed(0))
    assert cropped.shape == images.shape and cropped.dtype == torch.uint8
    padded = torch.nn.functional.pad(images, (2, 2, 2, 2))
    places = set()
    for image, out in zip(padded, cropped, strict=True):
        windows = {
            (t, left) for t in range(5) for left in range(5) if torch.equal(image[:, t : t + 8, left : left + 8], out)
        }
        assert len(windows) == 1
        places |= windows
    assert len(places) > 15  # of 25, for 64 draws


def test_crops_can_be_padded_with_the_reflection():
    images = random_images()
    padded = augment.reflected(images, 2)
    expected = torch.nn.functional.pad(images.float(), (2, 2, 2, 2), mode="reflect")
    assert torch.equal(padded.float(), expected) and padded.dtype == torch.uint8
    data = DataSettings(crop_padding=2, crop_fill="reflect")
    cropped = augment.augment(images, data, False, torch.Generator().manual_seed(0))
    assert (cropped > 0).all() and not torch.equal(cropped, images)  # no padding with zeros
    for image, out in zip(padded, cropped, strict=True):
        assert any(torch.equal(image[:, t : t + 8, left : left + 8], out) for t in range(5) for left in range(5))


def test_flip_mirrors_about_half():
    images = random_images(400)
    flipped = augment.random_flip(images, torch.Generator().manual_seed(0))
    mirrored = [torch.equal(a.flip(-1), b) for a, b in zip(images, flipped, strict=True)]
    assert all(m or torch.equal(a, b) for m, a, b in zip(mirrored, images, flipped, strict=True))
    assert 150 < sum(mirrored) < 250


def test_alternating_flip_mirrors_each_image_in_every_second_of_its_turns():
    images, coins = random_images(40), torch.arange(40) % 2
    first, second, third = (augment.alternating_flip(images, coins + turn) for turn in (1, 2, 3))
    assert torch.equal(first[::2], images[::2].flip(3)) and torch.equal(first[1::2], images[1::2])
    assert torch.equal(second, first.flip(3)) and torch.equal(third, first)


def test_mixup_blends_each_image_with_its_partner_by_its_share():
    images = torch.rand(16, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    mixed, partner, share = augment.mix(images, DataSettings(mixup=1.0), Random(0), torch.Generator().manual_seed(1))
    assert 0 < share < 1 and sorted(partner.tolist()) == list(range(16))
    torch.testing.assert_close(mixed, share * images + (1 - share) * images[partner])


def test_cutmix_pastes_one_rectangle_and_returns_the_remaining_share():
    images = torch.arange(16.0)[:, None, None, None].expand(16, 3, 8, 8)  # each image contains its index
    shares = []
    for seed in range(40):
        generator = torch.Generator().manual_seed(seed)
        mixed, partner, share = augment.mix(images, DataSettings(cutmix=1.0), Random(seed), generator)
        pasted = mixed != images
        moved = partner != torch.arange(16)
        assert torch.equal(mixed[pasted], images[partner][pasted])
        hole = pasted[moved].flatten(0, 1)
        assert (hole == hole[0]).all() and hole[0].sum() == hole[0].any(0).sum() * hole[0].any(1).sum()
        assert hole[0].sum().item() / 64 == pytest.approx(1 - share)
        shares.append(share)
    assert min(shares) < 0.3 and max(shares) > 0.9


def test_cutout_erases_one_square():
    out = augment.cutout(random_images(200), 3, torch.Generator().manual_seed(0))
    holes = (out == 0).all(1)
    assert torch.equal(holes, (out == 0).any(1))
    for hole in holes:
        rows, columns = hole.any(1).sum(), hole.any(0).sum()
        assert hole.sum() == rows * columns and 2 <= rows <= 3 and 2 <= columns <= 3
    assert len({tuple(hole.nonzero()[0].tolist()) for hole in holes}) > 30


def test_augment_does_nothing_if_all_is_off_and_is_reproducible():
    images = random_images()
    off = DataSettings(crop_padding=0, flip="off", cutout=0)
    assert torch.equal(augment.augment(images, off, False, torch.Generator()), images)
    on = DataSettings(crop_padding=2, cutout=3)
    draws = [augment.augment(images, on, True, torch.Generator().manual_seed(5)) for _ in range(2)]
    assert torch.equal(*draws) and not torch.equal(draws[0], images)


def test_normalize_subtracts_the_mean_and_divides_by_the_deviation():
    image = torch.tensor([0, 51, 255], dtype=torch.uint8).reshape(1, 3, 1, 1)
    out = augment.normalize(image, torch.tensor([0.5, 0.2, 0.0]), torch.tensor([0.5, 1.0, 2.0]))
    torch.testing.assert_close(out.flatten(), torch.tensor([-1.0, 0.0, 0.5]))


@pytest.mark.parametrize("size", [3, 5, 8])
def test_resizing_averages_with_a_triangle_as_wide_as_the_pixels_it_merges(size):
    """Against the filter written out: a new pixel's center weights the old ones by their distance, at most `scale` away."""
    images = random_images(4).float()
    scale = 8 / size
    weights = torch.tensor(
        [[max(0.0, 1 - abs(old + 0.5 - (new + 0.5) * scale) / scale) for old in range(8)] for new in range(size)]
    )
    weights /= weights.sum(1, keepdim=True)
    torch.testing.assert_close(augment.resized(images, size), weights @ images @ weights.T, rtol=1e-4, atol=1e-2)
