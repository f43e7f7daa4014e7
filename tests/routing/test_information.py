"""Information about the class, on routings whose answer is known."""

import math

import pytest
import torch

from expertnet.network.routing_metrics import information
from expertnet.routing.information import block_table, permuted_information, verdict
from tests.support.lab import one_hot

LABELS = torch.arange(400) % 4
BY_CLASS = one_hot(LABELS, 4)  # each class has its own expert
CONSTANT = torch.tensor([0.5, 0.3, 0.2]).expand(400, 2, 3)


def test_a_router_by_class_says_log2_k_bits_and_chance_hardly_any():
    row = block_table(BY_CLASS, LABELS, 4).iloc[0]
    assert row["information"] == pytest.approx(2.0)
    assert row["entropy_of_mean"] == pytest.approx(math.log(4))
    assert row["mean_entropy"] == 0
    assert row["verdict"].startswith("decisive and varied")
    # of independent labels 2 N ln 2 times the information is chi squared with (C - 1)(K - 1) = 9 degrees of freedom
    assert row["chance"] == pytest.approx(9 / (2 * 400 * math.log(2)), rel=0.25)
    assert row["chance"] < row["chance_high"] < 0.05


def test_a_constant_router_says_nothing_even_by_chance():
    table = block_table(CONSTANT, LABELS, 4)
    assert table["information"].tolist() == pytest.approx([0, 0], abs=1e-9)
    assert table["chance_high"].tolist() == pytest.approx([0, 0], abs=1e-9)
    own = -(0.5 * math.log(0.5) + 0.3 * math.log(0.3) + 0.2 * math.log(0.2))
    assert table["mean_entropy"].tolist() == pytest.approx([own, own], rel=1e-6)


def test_the_limit_of_chance_is_corrected_for_the_number_of_blocks():
    alarms = 0
    for seed in range(30):
        routing = torch.rand(200, 8, 3, generator=torch.Generator().manual_seed(seed)).softmax(2)
        table = block_table(routing, LABELS[:200], 4)
        alarms += bool((table["information"] > table["chance_high"]).any())
    assert (
        alarms <= 8
    )  # of 60 draws at 5%, more than 8 come with a probability of 0.3%; without a correction, about 20 are


def test_chance_is_the_information_about_permuted_labels():
    generator = torch.Generator().manual_seed(7)
    routing = torch.rand(300, 2, 3, generator=generator).softmax(2)
    labels = torch.randint(4, (300,), generator=generator) + 1  # and no image of the first class
    dealt, order = torch.empty_like(labels), torch.randperm(300, generator=torch.Generator().manual_seed(0))
    dealt[order] = labels.sort().values
    chance = permuted_information(routing, labels, 5)
    assert chance.shape == (100, 2)
    assert torch.allclose(chance[0], information(routing, dealt, 5), atol=1e-12)


def test_the_same_seed_gives_the_same_chance():
    routing = torch.rand(400, 2, 3, generator=torch.Generator().manual_seed(5)).softmax(2)
    assert torch.equal(permuted_information(routing, LABELS, 4), permuted_information(routing, LABELS, 4))


@pytest.mark.parametrize(
    ("of_mean", "mean_of", "says"),
    [(0.0, 0.0, "collapse"), (1.0, 0.1, "decisive"), (1.0, 1.0, "unused"), (0.95, 0.7, "soft")],
)
def test_the_verdict_in_words(of_mean, mean_of, says):
    most = math.log(3)
    assert says in verdict(of_mean * most, mean_of * most, 3)
    assert "nothing to route" in verdict(0.0, 0.0, 1)
