"""Batch norms are estimated again on a copy of the network, from the images that they are given."""

import pytest
import torch

from expertnet.data.augment import normalize
from expertnet.routing import passes
from expertnet.routing.passes import Passes, calibration_images, estimated
from tests.support.lab import COLORS, predictor, random_images, random_split


def normalized(images):
    return normalize(images, torch.tensor(COLORS.mean), torch.tensor(COLORS.std))


@torch.no_grad()
def test_batch_norms_get_the_mean_and_variance_of_their_inputs_and_the_original_keeps_its_own():
    net = predictor()
    before = {name: tensor.clone() for name, tensor in net.model.state_dict().items()}
    images = normalized(random_images(30))
    copy = estimated(net, images)
    z = copy.blocks[0].experts.conv(copy.model.stem(images))
    norm = copy.blocks[0].experts.norm
    assert torch.allclose(norm.running_mean, z.mean((0, 2, 3)), atol=1e-5)
    assert torch.allclose(norm.running_var, z.var((0, 2, 3)), rtol=1e-4)
    again = copy.model(images)
    # in a batch, variances are divided by N instead of N - 1
    assert torch.allclose(copy.after(0, copy.model.stem(images), estimate=True), again, atol=0.01)
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.model.state_dict().items())
    assert norm.momentum == net.model.backbone.blocks[0].experts.norm.momentum and not copy.blocks[0].experts.training


@torch.no_grad()
def test_a_change_of_scale_alone_disappears():
    """Twice the weights double a block's output. A batch norm behind it takes that away, if it is estimated again."""
    net, images = predictor(routing="uniform"), normalized(random_images(60))
    control = estimated(net, images)
    x, _ = control.block(1, control.model.stem(images))
    doubled, _ = control.block(1, control.model.stem(images), lambda weights: 2 * weights)
    unchanged, mismatched = control.after(1, x), control.after(1, doubled)
    again = control.after(1, doubled, estimate=True)
    assert torch.allclose(again, unchanged, atol=0.01)
    assert not torch.allclose(mismatched, unchanged, atol=0.1)


def test_statistics_are_put_back():
    copy = Passes(predictor())
    kept = copy.statistics(1)
    with torch.no_grad():
        copy.after(0, copy.model.stem(normalized(random_images(20))), estimate=True)
        assert not all(torch.equal(a, b) for a, b in zip(kept[0], copy.statistics(1)[0], strict=True))
        copy.set_statistics(1, kept)
    assert len(kept) == 2 and all(torch.equal(a, b) for a, b in zip(kept[1], copy.statistics(1)[1], strict=True))


@pytest.mark.parametrize("count", [20, passes.ESTIMATED_ON + 20])
def test_calibration_images_are_augmented_training_images(count):
    net, training = predictor(), random_split(count)
    images, labels = calibration_images(net, training)
    assert len(images) == len(labels) == min(count, passes.ESTIMATED_ON)
    assert torch.equal(images, calibration_images(net, training)[0])
    whole = {image.numpy().tobytes() for image in normalized(training.images)}
    moved = sum(image.numpy().tobytes() not in whole for image in images.contiguous())
    assert moved > len(images) / 2  # random crops leave one image in 25 where it was
