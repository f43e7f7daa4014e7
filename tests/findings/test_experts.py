"""What is said about the use of experts."""

import torch

from expertnet.findings import experts
from expertnet.inference.routing_cache import Routed
from expertnet.routing.lab import Lab
from tests.support.lab import ANIMALS, one_hot, routed

LABELS = torch.arange(40) % 4


def test_experts_are_ranked_unless_their_use_is_equal():
    same = Lab(Routed(torch.full((40, 2, 1), 1.0), LABELS, LABELS), ANIMALS)
    assert experts.utilization(same).sentence == experts.ALIKE
    assert "is used most" in experts.utilization(Lab(routed(), ANIMALS)).sentence


def test_blocks_are_counted_by_kind_of_routing():
    routing = torch.cat([one_hot(LABELS, 4), torch.full((40, 1, 4), 0.25), one_hot(LABELS * 0, 4)], 1)
    finding = experts.entropies(Lab(Routed(routing, LABELS, LABELS), ANIMALS))
    assert finding.sentence == "Blocks by kind of routing: decisive and varied (1), routing unused (1), collapse (1)."


def test_specializations_are_counted_and_come_first():
    finding = experts.specializations(Lab(Routed(one_hot(LABELS % 2, 3), LABELS % 2, LABELS % 2), ANIMALS[:2]))
    assert finding.sentence.startswith("For 2 of 3 experts, the same class gives the most weight in both halves")
    assert finding.table["class"].tolist() == ["cat", "dog", ""]
