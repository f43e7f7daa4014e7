"""Routing policies on the test set, against plain passes with those weights."""

import torch

from expertnet.inference.routing_cache import route_test_set
from expertnet.routing.effects import POLICIES
from expertnet.routing.interventions import given, top1
from expertnet.routing.policies import measure_policies, policy_table
from tests.support.lab import predictor, random_split, saved_run


def test_policies_equal_plain_passes_with_their_weights(tmp_path):
    run = saved_run(tmp_path / "runs")
    split = random_split()
    routed = route_test_set(run, split)
    effects = measure_policies(run, split, routed)
    net, routing = predictor(), routed.routing
    plain = {
        "learned": {},
        "uniform": {b: given([1 / 3] * 3) for b in (1, 2, 3)},
        "first": dict.fromkeys((1, 2, 3), top1),
        "mean": {b: given(routing[:, b - 1].mean(0)) for b in (1, 2, 3)},
        "class": {
            b: given(torch.stack([routing[i % 2 :: 2, b - 1].double().mean(0) for i in range(40)])) for b in (1, 2, 3)
        },
    }
    for row, policy in zip(effects.changed, POLICIES, strict=True):
        if policy != "shuffled":
            assert torch.equal(row, net(split.images, plain[policy])[0].argmax(1)), policy


def test_policies_change_only_blocks_with_experts(tmp_path):
    run, split = saved_run(tmp_path / "runs", expert_blocks=(2,)), random_split()
    effects = measure_policies(run, split, route_test_set(run, split))
    first = predictor(expert_blocks=(2,))(split.images, {2: top1})[0].argmax(1)
    assert torch.equal(effects.changed[list(POLICIES).index("first")], first)


def test_the_table_of_policies_compares_with_the_learned_routing(tmp_path):
    run = saved_run(tmp_path / "runs")
    split = random_split()
    table = policy_table(measure_policies(run, split, route_test_set(run, split)))
    assert table["policy"].tolist() == list(POLICIES)
    assert table.iloc[0][["change", "flipped"]].tolist() == [0, 0]
