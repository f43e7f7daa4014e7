"""A logit is the sum over places and experts, for every kind of network, and each summand comes from its place and its expert."""

import pytest
import torch

from expertnet.data.info import DatasetInfo
from expertnet.inference.attribution import LOWERS, RAISES, attribute, overlay
from expertnet.inference.predictor import Predictor
from expertnet.network.model import ExpertNet
from expertnet.settings.fields import build_settings
from tests.support.kinds import KINDS

INFO = DatasetInfo("d", ("a", "b", "c"), (0.5, 0.4, 0.3), (0.2, 0.3, 0.2), 16, "not-cached")
IMAGE = torch.randint(0, 256, (3, 16, 16), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
REPORT = {"num_blocks": 2, "channels": 6, "reduction": 2, "num_experts": 3, "pool_after": (1,)}
OTHERS = [
    {},
    {"pool_after": (1, 2)},
    {"pool_after": (1, 2), "head": "max"},
    {"head": "max"},
    {"residual": True, "widths": (4, 6), "pool_before_norm": False},
    {"residual": True, "pool_after": (1, 2), "pool_before_norm": True, "gates": "se"},
    {"expert_blocks": (1,)},
]


def predictor(**kind):
    torch.manual_seed(3)
    settings = build_settings("quick", "digits", {f"model.{key}": value for key, value in (REPORT | kind).items()})
    net = ExpertNet(settings.model, len(INFO.classes))
    with torch.no_grad():
        for value in net.state_dict().values():
            if value.is_floating_point() and value.ndim:
                value.add_(torch.rand_like(value) * 0.3)
    return Predictor(net, settings, INFO, 1)


@pytest.mark.parametrize("kind", OTHERS + KINDS, ids=str)
def test_the_summands_add_up_to_the_logits(kind):
    network = predictor(**kind)
    with torch.inference_mode():
        logits = network.model(network.normalized(IMAGE[None]))[0]
    found = attribute(network, IMAGE)
    assert torch.allclose(found.logits, logits, atol=1e-4, rtol=1e-4)
    split = kind.get("mixing") != "kernels" and "expert_blocks" not in kind
    assert found.parts[:3] == ("Expert 1", "Expert 2", "Expert 3") if split else found.parts[0] == "Experts together"
    assert ("Skip connection" in found.parts) == bool(kind.get("residual"))


def test_without_an_expert_its_summand_is_missing_from_the_logits():
    network = predictor(router_output="sigmoid")
    found = attribute(network, IMAGE)
    with torch.inference_mode():
        x = network.normalized(IMAGE[None])
        without = network.model(x, False, {2: lambda weights: weights * torch.tensor([1.0, 0.0, 1.0])})[0]
    assert torch.allclose(found.logits - found.maps[:, 1].sum((1, 2)), without, atol=1e-5)


def test_a_map_has_the_places_of_the_last_feature_map():
    """Changing the last feature map at one place changes a logit by the head's weights over the number of places."""
    network = predictor()
    found, features = attribute(network, IMAGE), []
    network.model.classifier.register_forward_pre_hook(lambda _, inputs: features.append(inputs[0]))
    network(IMAGE[None])
    weights, places = network.model.classifier.head.weight, features[0].shape[2] * features[0].shape[3]
    expected = (weights[1].detach() @ features[0][0, :, 2, 5]) / places
    assert found.maps.shape[2:] == features[0].shape[2:]
    assert found.maps[1, :, 2, 5].sum().item() == pytest.approx(expected.item(), abs=1e-5)


def test_the_maxima_of_the_max_head_are_where_they_are():
    network = predictor(head="max")
    found, features = attribute(network, IMAGE), []
    network.model.classifier.register_forward_pre_hook(lambda _, inputs: features.append(inputs[0]))
    network(IMAGE[None])
    highest = {int(channel.argmax()) for channel in features[0][0]}
    assert set(found.maps[0].sum(0).flatten().nonzero()[:, 0].tolist()) <= highest


def test_an_overlay_is_orange_where_the_map_is_positive_blue_where_it_is_negative_and_gray_where_it_is_0():
    map_HW = torch.zeros(3, 3)
    map_HW[0, 0], map_HW[2, 2] = 2.0, -2.0
    drawn = overlay(torch.full((3, 3, 3), 100, dtype=torch.uint8), map_HW, 2.0).float()
    assert drawn.shape == (3, 222, 222)
    assert drawn[:, 111, 111].tolist() == [100, 100, 100]
    for pixel, color in ((drawn[:, 0, 0], RAISES), (drawn[:, -1, -1], LOWERS)):
        assert (pixel - (0.15 * 100 + 0.85 * torch.tensor(color))).abs().max() <= 0.5
