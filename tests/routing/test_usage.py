"""How much each expert is used, on routings whose answer is known."""

import pytest
import torch

from expertnet.routing.usage import expert_table, extremes
from tests.support.lab import one_hot

LABELS = torch.arange(400) % 4
CONSTANT = torch.tensor([0.5, 0.3, 0.2]).expand(400, 2, 3)


def test_utilization_is_k_times_the_weight_and_sums_to_k_in_a_block():
    table = expert_table(torch.cat([CONSTANT[:, :1], one_hot(LABELS % 3, 3)], dim=1))
    assert table.groupby("block")["utilization"].sum().tolist() == pytest.approx([3, 3])
    assert table["utilization"].tolist()[:3] == pytest.approx([1.5, 0.9, 0.6])
    assert table["first"].tolist()[:3] == [1, 0, 0]
    assert table["first"].tolist()[3:] == [0.5, 0.25, 0.25]  # the fourth class goes to the first expert too


def test_the_images_that_weigh_an_expert_most_and_least():
    weights = torch.tensor([0.2, 0.9, 0.5, 0.1])
    routing = torch.stack([weights, 1 - weights], dim=1)[:, None]
    assert extremes(routing, 1, 1, 2) == ([1, 2], [3, 0])
    assert extremes(routing, 1, 2, 2) == ([3, 0], [1, 2])
