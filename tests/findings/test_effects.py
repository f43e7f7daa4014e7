"""What is said about experts that are switched off, and about per-image routing."""

import re

import torch

from expertnet.charts.base import to_file
from expertnet.findings.effects import ablation, ablation_by_class, policies
from expertnet.inference.routing_cache import Routed
from expertnet.routing.effects import POLICIES, Effects
from expertnet.routing.lab import Lab
from tests.support.lab import ANIMALS

LABELS = torch.arange(1000) % 4
SHUFFLED = list(POLICIES).index("shuffled")


def test_only_the_first_dead_experts_are_named():
    routing = torch.full((20, 3, 3), 0.01)
    routing[..., 1] = 0.98  # experts 1 and 3 of each block are hardly used, and ablating any expert changes nothing
    labels = torch.arange(20) % 4
    lab = Lab(Routed(routing, labels, labels), ANIMALS)
    sentence = ablation(Effects(labels, labels, labels.expand(3, 3, -1)), lab, True).sentence
    named = "block 1, expert 1; block 1, expert 3; block 2, expert 1; block 2, expert 3; and 2 more"
    assert f"6 dead experts: {named}." in sentence
    changed = labels.expand(3, 3, -1).clone()
    changed[:, 0] = changed[:2, 2] = 0  # only the last of them is without effect
    sentence = ablation(Effects(labels, labels, changed), lab, True).sentence
    assert "1 dead expert: block 3, expert 3." in sentence


def test_shares_are_percentages_and_differences_are_points():
    labels = torch.arange(1000) % 4
    changed = labels.expand(2, 2, -1).clone()
    changed[0, 1, :114] = (labels[:114] + 1) % 4
    effects = Effects(labels, labels, changed)
    lab = Lab(Routed(torch.full((1000, 2, 2), 0.5), labels, labels), ANIMALS)
    assert ablation(effects, lab, True).sentence.startswith(
        "Switching off expert 2 of block 1 costs the most accuracy: 11.4 points."
    )
    finding = ablation_by_class(effects, lab, 1)
    assert finding.sentence == "In block 1, class cat loses the most without expert 2: 11.6% of its images."
    numbers = re.findall(r">([+\u2212-]?[\d.]+%?)</text>", to_file(finding.chart, "svg").decode())
    assert numbers.count("0") == 4 and sum(number.endswith("11.6%") for number in numbers) == 2


def routing_sentence(wrong_learned, wrong_shuffled):
    """The finding if the first so many images are misclassified with either routing."""
    changed = LABELS.expand(len(POLICIES), -1).clone()
    changed[:, :wrong_learned] = (LABELS[:wrong_learned] + 1) % 4
    changed[SHUFFLED] = LABELS
    changed[SHUFFLED, :wrong_shuffled] = (LABELS[:wrong_shuffled] + 1) % 4
    return policies(Effects(LABELS, changed[0], changed)).sentence


def test_no_difference_is_claimed_where_all_predict_the_same():
    assert routing_sentence(10, 10) == (
        "Per-image routing makes no measurable difference on this test set: accuracy is 99.0% with another image's weights and "
        "99.0% with its own."
    )


def test_no_difference_is_claimed_within_the_interval():
    assert "no measurable difference" in routing_sentence(0, 2)


def test_a_loss_beyond_the_interval_is_a_measurable_difference():
    assert routing_sentence(0, 31) == (
        "Per-image routing makes a measurable difference on this test set: with another image's weights, accuracy falls by "
        "3.1 points to 96.9%."
    )


def test_other_images_weights_that_do_better_are_no_gain():
    assert routing_sentence(31, 0).startswith(
        "Per-image routing brings no gain on this test set: accuracy is 100.0% with"
    )
