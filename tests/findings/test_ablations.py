"""What is said about experts that are switched off."""

import re

import torch

from expertnet.charts.base import to_file
from expertnet.findings import ablations
from expertnet.inference.routing_cache import Routed
from expertnet.routing.effects import Effects
from expertnet.routing.lab import Lab
from tests.support.lab import ANIMALS


def test_only_the_first_dead_experts_are_named():
    routing = torch.full((20, 3, 3), 0.01)
    routing[..., 1] = 0.98  # experts 1 and 3 of each block are hardly used, and ablating any expert changes nothing
    labels = torch.arange(20) % 4
    lab = Lab(Routed(routing, labels, labels), ANIMALS)
    sentence = ablations.ablation(Effects(labels, labels, labels.expand(3, 3, -1)), lab, True).sentence
    named = "block 1, expert 1; block 1, expert 3; block 2, expert 1; block 2, expert 3; and 2 more"
    assert f"6 dead experts: {named}." in sentence
    changed = labels.expand(3, 3, -1).clone()
    changed[:, 0] = changed[:2, 2] = 0  # only the last of them is without effect
    sentence = ablations.ablation(Effects(labels, labels, changed), lab, True).sentence
    assert "1 dead expert: block 3, expert 3." in sentence


def test_shares_are_percentages_and_differences_are_points():
    labels = torch.arange(1000) % 4
    changed = labels.expand(2, 2, -1).clone()
    changed[0, 1, :114] = (labels[:114] + 1) % 4
    effects = Effects(labels, labels, changed)
    lab = Lab(Routed(torch.full((1000, 2, 2), 0.5), labels, labels), ANIMALS)
    assert ablations.ablation(effects, lab, True).sentence.startswith(
        "Switching off expert 2 of block 1 costs the most accuracy: 11.4 points."
    )
    finding = ablations.ablation_by_class(effects, lab, 1)
    assert finding.sentence == "In block 1, class cat loses the most without expert 2: 11.6% of its images."
    numbers = re.findall(r">([+\u2212-]?[\d.]+%?)</text>", to_file(finding.chart, "svg").decode())
    assert numbers.count("0") == 4 and sum(number.endswith("11.6%") for number in numbers) == 2
