"""Feature maps of the experts, and their arrangement in an image."""

import torch

from expertnet.routing.feature_maps import feature_maps, mosaic
from tests.support.lab import network, predictor, random_images


def test_feature_maps_and_their_mix_are_those_of_the_block():
    net, image = predictor(residual=True), random_images(1)[0]
    maps, mix, weights = feature_maps(net, image, 2)
    assert (maps.shape, mix.shape) == ((3, 8, 4, 4), (8, 4, 4))
    assert torch.allclose(mix, (weights[:, None, None, None] * maps).sum(0), atol=1e-6)
    assert torch.allclose(weights, net(image[None])[1][0, 1])


def test_a_residual_block_adds_its_input_to_the_mix():
    net = network(residual=True).eval()
    block = net.backbone.blocks[1]
    x = torch.randn(2, 8, 4, 4, generator=torch.Generator().manual_seed(2))
    outputs = list(block.experts.parts(x))
    y, weights = block(x)
    plain = x + sum(weights[:, k, None, None, None] * outputs[k] for k in range(3))
    assert torch.allclose(y, plain, atol=1e-6)


def test_a_mosaic_shows_every_map_in_its_place():
    maps = torch.zeros(3, 2, 2)
    maps[1] = 1
    image = mosaic(maps, pixels=12)  # two columns of maps, 3 wide with their line, drawn twice as large
    assert image.shape == (12, 12)
    assert (image[:4, 6:10] == 0).all()
    assert image.sum() == 255 * (12 * 12 - 16)
