"""Experts ablated on the test set, against a plain pass for every expert and against results by hand."""

import math

import pytest
import torch

from expertnet.inference.routing_cache import route_test_set
from expertnet.network.evaluation import EVALUATION_BATCH
from expertnet.routing.ablations import ablation_name, ablation_table, class_effects, measure_ablations
from expertnet.routing.effects import Effects, cached_effects, flipped
from expertnet.routing.interventions import ablated
from expertnet.routing.lab import Lab
from expertnet.routing.weights import expert_table
from tests.support.lab import COLORS, predictor, random_split, saved_run


@pytest.mark.parametrize("renormalize", [True, False])
def test_ablations_equal_a_plain_pass_for_every_expert(tmp_path, renormalize):
    run = saved_run(tmp_path / "runs")
    split = random_split(EVALUATION_BATCH + 40)
    routed = route_test_set(run, split)
    effects = measure_ablations(run, split, routed, renormalize)
    net = predictor()
    for block in range(3):
        for expert in range(3):
            plain = net(split.images, {block + 1: ablated(expert, renormalize)})[0].argmax(1)
            assert torch.equal(effects.changed[block, expert], plain)
    assert (effects.changed != effects.learned).any()
    kept = cached_effects(run, ablation_name(renormalize))
    assert torch.equal(kept.changed, effects.changed)
    assert cached_effects(run, ablation_name(not renormalize)) is None


def test_blocks_without_experts_count_as_unchanged_and_have_no_rows(tmp_path):
    run, split = saved_run(tmp_path / "runs", expert_blocks=(2,)), random_split()
    routed = route_test_set(run, split)
    effects = measure_ablations(run, split, routed, True)
    net = predictor(expert_blocks=(2,))
    assert torch.equal(effects.changed[[0, 2]], routed.predictions.expand(2, 3, -1))
    for expert in range(3):
        assert torch.equal(effects.changed[1, expert], net(split.images, {2: ablated(expert)})[0].argmax(1))
    table = ablation_table(effects, Lab(routed, COLORS.classes).experts)
    assert table[["block", "expert"]].values.tolist() == [[2, 1], [2, 2], [2, 3]]
    assert table["flipped"].tolist() == [len(flipped(effects, 2, expert)) for expert in (1, 2, 3)]


def effects():
    labels = torch.tensor([0, 0, 1, 1])
    learned = torch.tensor([0, 0, 1, 0])
    changed = torch.tensor([[[0, 0, 1, 0], [1, 1, 1, 1]]])  # one block, two experts: no effect; two lost and one won
    return Effects(labels, learned, changed)


def test_accuracy_change_interval_and_flips_by_hand():
    routing = torch.tensor([[[0.02, 0.98]]] * 4)
    table = ablation_table(effects(), expert_table(routing))
    assert table["accuracy"].tolist() == [0.75, 0.5]
    assert table["change"].tolist() == [0, -0.25]
    deviation = math.sqrt((3 - 4 * 0.25**2) / 4)  # differences -1, -1, 0, 1
    assert table["low"][1] == pytest.approx(-0.25 - 1.96 * deviation / 2)
    assert table["high"][1] == pytest.approx(-0.25 + 1.96 * deviation / 2)
    assert table["flipped"].tolist() == [0, 3]
    assert table["dead"].tolist() == [True, False]
    assert flipped(effects(), 1, 2) == [0, 1, 3]


def test_a_little_used_expert_with_an_effect_is_not_dead():
    routing = torch.tensor([[[0.98, 0.02]]] * 4)
    assert ablation_table(effects(), expert_table(routing))["dead"].tolist() == [False, False]


def test_effects_by_class_by_hand():
    table = class_effects(effects(), ("red", "blue"))
    second = table[table["expert"] == 2].set_index("class")["change"]
    assert second.to_dict() == {"red": -1, "blue": 0.5}
    assert class_effects(effects(), ("red", "blue", "none"))["class"].nunique() == 2
