"""Cached effects belong to the network that they were measured on."""

import pytest
import torch

from expertnet.inference.routing_cache import cache_tensors, cached_routing, route_test_set
from expertnet.routing.effects import Effects, cached_effects, save_effects
from expertnet.routing.policies import measure_policies
from tests.support.lab import predictor, random_split, save_best, saved_run


def test_cached_effects_are_one_object_until_they_change(tmp_path):
    run = saved_run(tmp_path / "runs")
    split = random_split()
    effects = measure_policies(run, split, route_test_set(run, split))
    cached = cached_effects(run, "policies")
    assert torch.equal(cached.changed, effects.changed)
    assert cached_effects(run, "policies") is cached  # so that its findings are made once
    reversed_effects = Effects(effects.labels, effects.learned, effects.changed.flip(0))
    save_effects(reversed_effects, "policies", run, "best", predictor())
    assert torch.equal(cached_effects(run, "policies").changed, reversed_effects.changed)


def test_effects_of_another_epoch_are_ignored(tmp_path):
    run = saved_run(tmp_path / "runs")
    split = random_split()
    measure_policies(run, split, route_test_set(run, split))
    save_best(run, 2)
    assert cached_routing(run) is None
    assert cached_effects(run, "policies") is None


@pytest.mark.parametrize(
    "tensors",
    [
        {"other": torch.zeros(6, 40, dtype=torch.uint8)},
        {"changed": torch.full((6, 40), 99, dtype=torch.uint8)},
        {"changed": torch.zeros(6, 39, dtype=torch.uint8)},
        {"changed": torch.zeros(5, 40, dtype=torch.uint8)},
        {"changed": torch.zeros(6, 40)},
    ],
)
def test_effects_of_another_network_are_ignored(tmp_path, tensors):
    run = saved_run(tmp_path / "runs")
    route_test_set(run, random_split())
    cache_tensors(run, "policies", "best", predictor(), tensors)
    assert cached_effects(run, "policies") is None
