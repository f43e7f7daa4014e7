"""Distances of routing by hand, and their ratio against leaving out one image at a time."""

import pytest
import torch

from expertnet.inference.predictor import Predictor
from expertnet.routing.paired import Z95
from expertnet.routing.stability import (
    AUGMENTED,
    STABILITY,
    VARIANTS,
    Stability,
    distance_to_others,
    measure_stability,
    stability_table,
)
from tests.support.lab import COLORS, measured_images, one_hot, predictor, saved_run


def test_distances_to_the_others_by_hand():
    """Two images choose the first expert and one the second: 0 and 1 on average 1/2, 1 and 1 on average 1."""
    assert distance_to_others(one_hot(torch.tensor([0, 0, 1]), 2)).tolist() == [[0.5], [0.5], [1]]
    assert distance_to_others(torch.ones(1, 1, 1)).tolist() == [[0]]


def test_the_share_is_a_ratio_of_means_with_the_interval_of_the_jackknife():
    generator = torch.Generator().manual_seed(3)
    routing = torch.rand(30, 1, 3, generator=generator).softmax(2)
    moved = 0.1 * torch.rand(30, generator=generator)
    found = Stability("test", torch.zeros(30), moved.expand(len(VARIANTS), -1)[..., None], distance_to_others(routing))
    row = stability_table(found, (4,)).iloc[0]
    between = distance_to_others(routing).double().mean()
    assert row["share"] == pytest.approx((moved.double().mean() / between).item(), rel=1e-4)
    left_out = []
    for image in range(30):
        rest = torch.arange(30) != image
        left_out.append((moved[rest].mean() / distance_to_others(routing[rest]).mean()).item())
    error = (29 * torch.tensor(left_out).double().var(correction=0)).sqrt().item()
    assert row["high"] - row["share"] == pytest.approx(Z95 * error, rel=1e-2)
    assert row["block"] == 4 and row["variant"] == AUGMENTED


@pytest.mark.parametrize("views", [{}, {"crop_padding": 0, "flip": "off"}])
def test_cutout_is_no_part_of_cropping_and_mirroring(views):
    net = predictor()

    def measured(**data):
        settings = net.settings.model_copy(update={"data": net.settings.data.model_copy(update=data)})
        return measure_stability(Predictor(net.model, settings, COLORS, 1), measured_images())

    assert torch.equal(measured(cutout=4, **views).moved, measured(cutout=0, **views).moved)


def test_without_augmentation_nothing_moves_and_damage_moves_the_weights_as_a_plain_pass_does():
    net = predictor()
    data = net.settings.data.model_copy(update={"crop_padding": 0, "flip": "off"})
    plain = Predictor(net.model, net.settings.model_copy(update={"data": data}), COLORS, 1)
    found = measure_stability(plain, measured_images())
    assert not found.moved[0].any() and found.moved[1:].amax((1, 2)).min() > 0
    dark, images = VARIANTS.index("darkness"), measured_images()
    order = torch.randperm(40, generator=torch.Generator().manual_seed(0))
    pixels = images.evaluated.images[order]
    halved = (pixels.float() / 2).round().to(torch.uint8)
    distance = (net(halved)[1] - net(pixels)[1]).abs().sum(2) / 2
    assert torch.allclose(found.moved[dark], distance, atol=1e-6)


def test_blocks_that_route_all_images_alike_have_no_share(tmp_path):
    found = STABILITY.measure(saved_run(tmp_path / "runs", routing="uniform"), measured_images())
    assert stability_table(found, (1, 2, 3))["share"].isna().all()
    found = measure_stability(predictor(expert_blocks=(2,)), measured_images())
    assert stability_table(found, (2,))["share"].notna().all() and len(stability_table(found, (2,))) == len(VARIANTS)
