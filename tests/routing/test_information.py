"""Information about the class, on routings whose answer is known."""

import math

import pytest
import torch

from expertnet.routing.chance import chance
from expertnet.routing.information import block_table, image_information, verdict
from tests.support.lab import one_hot

LABELS = torch.arange(400) % 4
BY_CLASS = one_hot(LABELS, 4)  # each class has its own expert
CONSTANT = torch.tensor([0.5, 0.3, 0.2]).expand(400, 2, 3)


def test_a_router_by_class_says_log2_k_bits_and_chance_hardly_any():
    row = block_table(BY_CLASS, LABELS, 4, chance(BY_CLASS, LABELS)).iloc[0]
    assert row["information"] == pytest.approx(2.0)
    assert row["entropy_of_mean"] == pytest.approx(math.log(4))
    assert row["mean_entropy"] == 0
    assert row["verdict"].startswith("decisive")
    assert row[["share", "high", "effective"]].tolist() == pytest.approx([1, 1, 4]) and 0.99 < row["low"] < 1
    # of independent labels 2 N ln 2 times the information is chi squared with (C - 1)(K - 1) = 9 degrees of freedom
    assert row["chance"] == pytest.approx(9 / (2 * 400 * math.log(2)), rel=0.25)
    assert row["chance"] < row["chance_high"] < 0.05


def test_a_constant_router_says_nothing_even_by_chance():
    table = block_table(CONSTANT, LABELS, 4, chance(CONSTANT, LABELS))
    assert table["information"].tolist() == pytest.approx([0, 0], abs=1e-9)
    assert table["chance_high"].tolist() == pytest.approx([0, 0], abs=1e-9)
    own = -(0.5 * math.log(0.5) + 0.3 * math.log(0.3) + 0.2 * math.log(0.2))
    assert table["mean_entropy"].tolist() == pytest.approx([own, own], rel=1e-6)


@pytest.mark.slow
def test_the_limit_of_chance_is_corrected_for_the_number_of_blocks():
    alarms = 0
    for seed in range(30):
        routing = torch.rand(200, 8, 3, generator=torch.Generator().manual_seed(seed)).softmax(2)
        table = block_table(routing, LABELS[:200], 4, chance(routing, LABELS[:200]))
        alarms += bool((table["information"] > table["chance_high"]).any())
    assert (
        alarms <= 8
    )  # of 60 draws at 5%, more than 8 come with a probability of 0.3%; without a correction, about 20 are


def entropy_of(*weights):
    return -sum(weight * math.log(weight) for weight in weights if weight)


SIX_TWO_TWO = entropy_of(0.6, 0.2, 0.2)


@pytest.mark.parametrize(
    ("of_mean", "mean_of", "experts", "kind"),
    [
        (SIX_TWO_TWO, SIX_TWO_TWO, 3, "constant"),  # weights need not be equal to be constant
        (math.log(3), 0, 16, "decisive"),  # a choice among 3 experts, though 13 others get nothing
        (math.log(3), math.log(3), 3, "constant"),
        (entropy_of(0.9, 0.05, 0.05), 0, 3, "collapse"),  # exp 0.394 = 1.48 effective experts
        (entropy_of(0.86, 0.14), 0, 2, "collapse"),  # 1.499
        (entropy_of(0.85, 0.15), 0, 2, "decisive"),  # 1.526
        (math.log(2), 0.98 * math.log(2), 2, "soft"),
        (math.log(2), 0.995 * math.log(2), 2, "constant"),
        (math.log(2), 0.51 * math.log(2), 2, "soft"),
        (0.0, 0.0, 1, "one expert, nothing to route"),
    ],
)
def test_the_verdict_in_words(of_mean, mean_of, experts, kind):
    assert verdict(of_mean, mean_of, experts).split(":")[0] == kind


def test_what_routing_says_about_the_image_worked_out_by_hand():
    # three quarters of the images have the weights (1, 0), the others (0, 1): ln(4/3) or ln 4 nats from the mean
    routing = torch.cat([one_hot(torch.arange(400) % 4 // 3, 2), torch.tensor([0.9, 0.1]).expand(400, 1, 2)], 1)
    share, low, high = (each.tolist() for each in image_information(routing))
    assert share == pytest.approx([entropy_of(0.75, 0.25) / math.log(2), 0], abs=1e-9)
    variance = 3 / 16 * math.log(3) ** 2  # of ln(4/3) and ln 4, which differ by ln 3
    half = 1.96 * math.sqrt(variance / 400 + 1 / (2 * 400**2)) / math.log(2)
    assert (low[0], high[0]) == pytest.approx((share[0] - half, share[0] + half))
    assert low[1] == 0 < high[1] < 0.01  # never without width


def test_the_interval_covers_what_routing_says_about_all_images():
    choices = torch.rand(300, 200, generator=torch.Generator().manual_seed(9)) < 0.2  # of 200 images each, seed 9
    covered = []
    for chosen in choices:
        _, low, high = image_information(one_hot(chosen.long(), 2))
        covered.append(low.item() <= entropy_of(0.2, 0.8) / math.log(2) <= high.item())
    assert 0.92 <= sum(covered) / 300 <= 0.98  # 95% and 2.4 standard deviations
