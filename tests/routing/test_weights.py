"""Tables of routing weights, on routings whose answer is known."""

import pytest
import torch

from expertnet.routing.weights import class_table, expert_table, extremes
from tests.support.lab import one_hot

LABELS = torch.arange(400) % 4
CONSTANT = torch.tensor([0.5, 0.3, 0.2]).expand(400, 2, 3)


def test_tables_count_from_one_and_sum_to_one():
    weights = torch.tensor([[[0.2, 0.8], [0.5, 0.5]], [[0.6, 0.4], [0.1, 0.9]]])
    table = class_table(weights, torch.tensor([0, 0]), ["cat"])
    assert table.columns.tolist() == ["class", "block", "expert", "weight", "error"]
    assert table[["block", "expert"]].values.tolist() == [[1, 1], [1, 2], [2, 1], [2, 2]]
    torch.testing.assert_close(torch.tensor(table["weight"].tolist()), torch.tensor([0.4, 0.6, 0.3, 0.7]))
    assert (table.groupby("block")["weight"].sum() - 1).abs().max() < 1e-6
    assert table["error"].tolist() == pytest.approx([0.2, 0.2, 0.2, 0.2])  # half the difference of two images


def test_classes_without_images_are_left_out():
    weights = torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]]])
    assert set(class_table(weights, torch.tensor([0, 2]), ["a", "b", "c"])["class"]) == {"a", "c"}


def test_utilization_is_k_times_the_weight_and_sums_to_k_in_a_block():
    table = expert_table(torch.cat([CONSTANT[:, :1], one_hot(LABELS % 3, 3)], dim=1))
    assert table.groupby("block")["utilization"].sum().tolist() == pytest.approx([3, 3])
    assert table["utilization"].tolist()[:3] == pytest.approx([1.5, 0.9, 0.6])
    assert table["first"].tolist()[:3] == [1, 0, 0]
    assert table["first"].tolist()[3:] == [0.5, 0.25, 0.25]  # the fourth class goes to the first expert too


def test_experts_with_equal_weights_share_the_images():
    weights = torch.tensor([[[1 / 3, 1 / 3, 1 / 3]], [[0.4, 0.4, 0.2]], [[0.0, 0.5, 0.5]], [[0.2, 0.7, 0.1]]])
    expected = [(1 / 3 + 1 / 2) / 4, (1 / 3 + 1 / 2 + 1 / 2 + 1) / 4, (1 / 3 + 1 / 2) / 4]
    assert expert_table(weights)["first"].tolist() == pytest.approx(expected)


def test_the_images_that_weigh_an_expert_most_and_least():
    weights = torch.tensor([0.2, 0.9, 0.5, 0.1])
    routing = torch.stack([weights, 1 - weights], dim=1)[:, None]
    assert extremes(routing, 1, 1, 2) == ([1, 2], [3, 0])
    assert extremes(routing, 1, 2, 2) == ([3, 0], [1, 2])
