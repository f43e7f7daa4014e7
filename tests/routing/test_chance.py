"""What permutations of the labels give, against answers worked out by hand."""

import math

import pytest
import torch

from expertnet.routing.chance import DRAWS, chance, leads, limit, p_value
from tests.support.lab import one_hot


def test_chance_goes_through_what_labels_can_be_dealt_out():
    # Two images have the weights (1, 0) and two (0, 1). Two labels of each of two classes fall on them so that each class has one
    # of both (4 of 6 times), or so that the classes are told apart (2 of 6 times).
    by_chance = chance(one_hot(torch.tensor([0, 0, 1, 1]), 2), torch.tensor([3, 3, 5, 5]))
    apart = by_chance.information_DB[:, 0] > 0.5
    assert abs(apart.double().mean() - 1 / 3) < 4 * math.sqrt(2 / 9 / DRAWS)
    assert by_chance.information_DB[apart].unique().tolist() == pytest.approx([1])
    assert by_chance.information_DB[~apart].unique().tolist() == pytest.approx([0], abs=1e-12)
    assert torch.equal(by_chance.spread_DB[:, 0], apart.double())
    # the mean of 2 of 4 images has a standard deviation of 0.5 * sqrt(2 / (2 * 3)), and lies 0.5 from that of all
    assert by_chance.lead_D[apart].tolist() == pytest.approx([math.sqrt(3)] * int(apart.sum()))


def test_the_same_seed_gives_the_same_chance():
    routing, labels = torch.rand(50, 2, 3, generator=torch.Generator().manual_seed(5)).softmax(2), torch.arange(50) % 4
    assert torch.equal(chance(routing, labels).information_DB, chance(routing, labels).information_DB)
    assert not torch.equal(chance(routing, labels).information_DB, chance(routing, labels, seed=1).information_DB)


def test_dead_and_constant_experts_and_a_single_class_lead_nowhere():
    weight = torch.linspace(0.01, 0.02, 40)
    routing = torch.stack([weight, 0.5 - weight, torch.full((40,), 0.5)], 1)[:, None]  # one hardly used, one constant
    labels = torch.arange(40) // 20
    lead = leads(torch.stack([routing[:20].mean(0), routing[20:].mean(0)]), routing, labels)
    assert lead[:, 0, [0, 2]].tolist() == [[-math.inf, -math.inf]] * 2
    assert lead[0, 0, 1] == pytest.approx(-lead[1, 0, 1].item(), rel=1e-3) and lead[0, 0, 1] > 4
    alone = torch.zeros(40, dtype=torch.int64)
    assert leads(routing.mean(0)[None], routing, alone).isneginf().all()


def test_a_p_value_counts_the_observation_among_the_draws():
    drawn = torch.arange(1.0, 1000.0)  # 1 to 999
    assert p_value(torch.tensor([5000.0, 999, 998.5, 1, 0]), drawn).tolist() == pytest.approx(
        [0.001, 0.002, 0.002, 1, 1]
    )
    assert limit(drawn) == 950  # reached by 50 draws, p = 0.051; anything above has p = 0.05
    assert p_value(torch.tensor([950.0, 950.5]), drawn).tolist() == pytest.approx([0.051, 0.05])
