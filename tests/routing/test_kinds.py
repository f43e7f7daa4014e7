"""Every kind of network in the lab."""

import pytest
import torch

from expertnet.inference.routing_cache import cached_routing, route_test_set
from expertnet.routing.ablations import ablate_all
from expertnet.routing.effects import POLICIES
from expertnet.routing.feature_maps import feature_maps
from expertnet.routing.interventions import ablated, forced, given, top1, uniform
from expertnet.routing.passes import calibration_images, estimated
from expertnet.routing.policies import route_all
from tests.support.kinds import KINDS
from tests.support.lab import fitted, measured_images, predictor, random_images, random_split, saved_run


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_the_routing_of_each_kind_is_cached(kind, tmp_path):
    run, split = saved_run(tmp_path / "runs", **kind), random_split()
    routed = route_test_set(run, split)
    assert torch.equal(cached_routing(run, split=split).routing, routed.routing)
    torch.testing.assert_close(routed.routing.sum(2), torch.ones(40, 3), rtol=0, atol=1e-3)


@pytest.mark.parametrize("kind", KINDS, ids=str)
@torch.inference_mode()
def test_feature_maps_are_those_of_each_expert_alone(kind):
    net, image = predictor(**kind), random_images(1)[0]
    maps, mix, weights = feature_maps(net, image, 2)
    first = net.model.backbone.blocks[0](net.model.stem(net.normalized(image[None])))[0]
    x = net.model.backbone.pool(1, first)
    block = net.model.backbone.blocks[1]
    for expert in range(3):
        expected = block(x, forced(expert))[0]
        torch.testing.assert_close(block.add(x, maps[expert][None]), expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(block.add(x, mix[None]), block(x)[0], rtol=0, atol=1e-5)
    torch.testing.assert_close(weights, block(x)[1][0])


class MeanKernel(torch.nn.Module):
    """Experts of which one has the same weight for all images."""

    def __init__(self, experts, expert, weight):
        super().__init__()
        self.experts, self.expert, self.weight = experts, expert, weight

    def forward(self, x, weights):
        weights = weights.clone()
        weights[:, self.expert] = self.weight
        return self.experts(x, weights)


def used_weights(passes, images, block):
    """What a block's experts are given for these images."""
    found = []
    hook = passes.blocks[block - 1].experts.register_forward_pre_hook(lambda _, given: found.append(given[1]))
    passes.model(images)
    hook.remove()
    return found[0]


def plain_answers(net, calibration, pixels, block, changes, kernels, mean_of=None):
    """The answers of a network whose norms behind the mix of a block are estimated again under the changes."""
    changed = estimated(net, calibration)
    if mean_of is not None:
        weight, chosen = used_weights(changed, calibration, block)[:, mean_of].mean(), changed.blocks[block - 1]
        chosen.experts = MeanKernel(chosen.experts, mean_of, weight)
    x = changed.model.stem(calibration)
    for number in (1, 2, 3):
        again = number > block or (kernels and number == block)
        x, _ = changed.block(number, x, changes(calibration).get(number), estimate=again)
    return changed.model(pixels, changes=changes(pixels)).argmax(1)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS, ids=str)
@torch.no_grad()
def test_ablations_of_each_kind_equal_plain_passes(kind):
    net, images = fitted(predictor(**kind)), measured_images()
    effects, kernels = ablate_all(net, images), kind.get("mixing") == "kernels"
    calibration, _ = calibration_images(net, images.training)
    pixels = net.normalized(images.evaluated.images)
    assert torch.equal(effects.learned[0], net.model(pixels).argmax(1))
    torch.testing.assert_close(effects.weights.sum(1), torch.ones(3))
    for block, expert in ((1, 0), (2, 2)):
        change = {block: ablated(expert)}
        assert torch.equal(effects.shipped[block - 1, expert], net.model(pixels, changes=change).argmax(1))
        found = effects.changed[:, block - 1, expert]
        assert torch.equal(found[0], plain_answers(net, calibration, pixels, block, lambda _, c=change: c, kernels))
        if kernels:
            expected = plain_answers(net, calibration, pixels, block, lambda _: {}, kernels, expert)
            assert torch.equal(found[1], expected)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS, ids=str)
@torch.no_grad()
def test_policies_of_each_kind_equal_plain_passes(kind):
    net, images = fitted(predictor(**kind)), measured_images()
    effects, kernels = route_all(net, images), kind.get("mixing") == "kernels"
    calibration, _ = calibration_images(net, images.training)
    pixels, training = (net.normalized(split.images) for split in (images.evaluated, images.training))
    control = estimated(net, calibration).model
    mean = control(training, True)[1].mean(0)
    for policy, change in {
        "uniform": lambda block: uniform,
        "first": lambda block: top1,
        "mean": lambda block: given(mean[block - 1]),
    }.items():
        changes = {block: change(block) for block in (1, 2, 3)}
        expected = plain_answers(net, calibration, pixels, 1, lambda _, c=changes: c, kernels)
        assert torch.equal(effects.answers[1, list(POLICIES).index(policy)], expected), policy
