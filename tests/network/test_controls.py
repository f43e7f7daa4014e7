"""Controls cost as much as the network that they are compared with, or lack only what their name says."""

import pytest
import torch

from expertnet.network.controls import ARMS, LEARNED, NAMES, arm_settings
from expertnet.network.cost import estimate
from expertnet.network.model import ExpertNet
from expertnet.settings.fields import build_settings, differences
from expertnet.settings.presets import PRESETS
from expertnet.settings.schema import Settings
from tests.support.kinds import KINDS

TOLERANCE = 0.02  # of the cost: the nearest whole number of channels


def arm(name, preset="quick", **model):
    settings = build_settings(preset, None, {f"model.{key}": value for key, value in model.items()})
    return settings, arm_settings(settings, name, 10)


def test_the_width_of_one_expert_on_paper():
    """A block of 4 experts needs 4 * 9 * 30^2 multiply-adds a pixel and the stem 27 * 30: 33,210 in all. One expert of D
    channels needs 9 D^2 + 27 D, which is 32,922 with 59 channels and 34,020 with 60.
    """
    _, single = arm("multiply_adds", num_blocks=1, channels=30, num_experts=4, pool_after=())
    assert (single.model.channels, single.model.num_experts) == (59, 1)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize(
    ("name", "cost"), [("multiply_adds", "multiply_adds"), ("parameters", "parameters"), ("gates", "multiply_adds")]
)
def test_one_expert_costs_as_much_within_the_tolerance(preset, name, cost):
    settings, single = arm(name, preset)
    wanted, found = (getattr(estimate(each, 10), cost) for each in (settings, single))
    assert found == pytest.approx(wanted, rel=TOLERANCE)
    assert single.model.num_experts == 1 and Settings.model_validate(single.model_dump()) == single


def test_parameters_are_those_of_the_networks_themselves():
    settings, single = arm("parameters", channels=16)
    counts = [sum(value.numel() for value in ExpertNet(each.model, 10).parameters()) for each in (settings, single)]
    assert counts[1] == pytest.approx(counts[0], rel=0.06)  # half a channel of 28 more or less
    names = [name for name, _ in ExpertNet(single.model, 10).named_parameters()]
    assert not any("branch" in name for name in names)  # one expert needs no router


def test_no_other_width_is_nearer():
    settings, single = arm("parameters", channels=16)
    wanted = estimate(settings, 10).parameters

    def miss(width):
        model = single.model.model_copy(update={"channels": width})
        return abs(estimate(single.model_copy(update={"model": model}), 10).parameters - wanted)

    assert min(range(1, 100), key=miss) == single.model.channels


def test_widths_of_stages_grow_by_the_same_factor():
    _, single = arm("multiply_adds", "fast")
    first, *others = single.model.widths
    assert all(width == pytest.approx(4 * first, abs=3) for width in others)  # 64, 256 and 256 in the preset


def test_the_widest_network_stays_within_the_limit():
    _, single = arm("multiply_adds", channels=1024, num_blocks=1, pool_after=())
    assert single.model.channels == 1024


def test_controls_of_the_routing_differ_in_nothing_else():
    settings, uniform = arm("uniform")
    for name in ("uniform", "random"):
        assert [key for key, *_ in differences(settings, arm_settings(settings, name, 10))] == ["model.routing"]
    assert arm_settings(settings, LEARNED, 10) == settings
    assert arm("random")[1].model.routing == "random" and arm("gates")[1].model.gates == "se"
    torch.manual_seed(3)
    _, routing = ExpertNet(uniform.model, 10)(torch.randn(2, 3, 32, 32), return_routing=True)
    assert torch.equal(routing, torch.full_like(routing, 1 / 3))


@pytest.mark.parametrize(
    ("kind", "changed"),
    [
        ("kernels", {"mixing": "kernels"}),
        ("top_1", {"top_k": 1, "balance": 0.01}),
        ("odconv", {"mixing": "kernels", "gates": "odconv"}),
        ("deviation", {"router_input": "mean_deviation"}),
        ("sigmoid", {"router_output": "sigmoid"}),
    ],
)
def test_other_kinds_differ_in_what_their_name_says(kind, changed):
    settings, made = arm(kind)
    found = {key.removeprefix("model."): value for key, _, value in differences(settings, made)}
    assert found == changed and arm_settings(made, kind, 10) == made


@pytest.mark.parametrize(
    ("kind", "values", "changed"),
    [
        ("top_1", {"training.expert_dropout": 0.2}, {"expert_dropout": 0.0}),
        ("sigmoid", {"training.temperature": 9.0}, {"temperature": 1.0}),
    ],
)
def test_a_kind_loses_what_its_router_cannot_have(kind, values, changed):
    settings = build_settings("quick", None, values)
    made = arm_settings(settings, kind, 10)
    assert made.training == settings.training.model_copy(update=changed)
    assert Settings.model_validate(made.model_dump()) == made


def test_every_arm_keeps_the_recipe_and_the_images():
    settings = build_settings("fast")
    for name in ARMS:
        made = arm_settings(settings, name, 10)
        assert (made.training, made.data, made.seed) == (settings.training, settings.data, settings.seed)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_every_arm_of_every_kind_of_network_can_be_built(kind):
    values = kind | {"routing": "learned", "num_blocks": 2, "channels": 8, "pool_after": (1,)}
    settings = build_settings("quick", None, {f"model.{key}": value for key, value in values.items()})
    for name in NAMES:
        made = arm_settings(settings, name, 10)
        assert Settings.model_validate(made.model_dump()) == made
        assert ExpertNet(made.model, 10)(torch.zeros(2, 3, 32, 32)).shape == (2, 10)
