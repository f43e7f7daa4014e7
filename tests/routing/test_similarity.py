"""Projection, ordering and matching by similarity, where the answer is known."""

import math

import pytest
import torch

from expertnet.routing.similarity import AGREEMENTS, agreement_table, components, likeness_order, match_experts
from tests.support.lab import one_hot

CONSTANT = torch.tensor([0.5, 0.3, 0.2]).expand(400, 2, 3)


def test_components_find_the_direction_in_which_images_differ():
    share = torch.linspace(0, 1, 400)
    routing = torch.stack([share, 1 - share], dim=1)[:, None]
    placed, explained = components(routing)
    assert explained[0] == pytest.approx(1)
    assert placed[:, 0].abs().max().item() == pytest.approx(0.5)  # images that choose different experts are 1 apart
    assert placed[-1].dist(placed[0]).item() == pytest.approx(1)
    assert components(routing.repeat(1, 3, 1))[0][:, 0].abs().max().item() == pytest.approx(
        0.5
    )  # in all of three blocks
    assert components(CONSTANT)[1] == [0, 0]
    assert components(torch.ones(5, 1, 1))[0].shape == (5, 2)


def test_likeness_order_puts_similar_rows_next_to_each_other():
    order = likeness_order(torch.tensor([[0.0], [10.0], [0.1], [10.1], [5.0]]))
    assert [sorted(order[:2]), order[2], sorted(order[3:])] in ([[0, 2], 4, [1, 3]], [[1, 3], 4, [0, 2]])
    assert likeness_order(torch.rand(2, 3)) == [0, 1]
    assert likeness_order(torch.rand(1, 3)) == [0]


def test_experts_are_matched_under_any_numbering():
    generator = torch.Generator().manual_seed(3)
    profiles = torch.rand(10, 3, 4, generator=generator).softmax(2)
    orders = torch.stack([torch.randperm(4, generator=generator) for _ in range(3)])
    renumbered = torch.stack([profiles[:, block, orders[block]] for block in range(3)], dim=1)
    renumbered[7] = float("nan")  # a class without images there
    found = match_experts(profiles, renumbered)
    for block in range(3):
        assert torch.equal(orders[block][found[block]], torch.arange(4))


def test_agreement_by_chance_is_that_of_shuffled_images_matched_anew():
    # Four classes of one image each. Of the 6 ways to shuffle two experts over them, 2 can be matched to agree on all images, and
    # the others agree on two of them, however they are matched.
    routing = one_hot(torch.tensor([0, 0, 1, 1]), 2)
    row = agreement_table(routing, 1 - routing).iloc[0]
    assert row["agreement"] == 1 and row["by_chance"] + row["excess"] == 1
    assert abs(row["by_chance"] - 2 / 3) < 4 * 0.5 * math.sqrt(2 / 9 / AGREEMENTS)


def test_collapsed_networks_agree_on_all_images_and_no_more_than_by_chance():
    collapsed = one_hot(torch.zeros(100, dtype=torch.int64), 3)
    row = agreement_table(collapsed, collapsed.roll(1, 2)).iloc[0]
    assert row[["agreement", "by_chance", "excess"]].tolist() == [1, 1, 0]
    assert row["limit_of_chance"] >= 1


def test_a_network_that_favors_one_expert_for_all_images_agrees_with_no_other_beyond_chance():
    """However the images are shuffled, the agreement is the same share, and the mean of the draws may be rounded down."""
    count, blocks = 143, 70
    collapsed = one_hot(torch.zeros(count, dtype=torch.int64), 3).repeat(1, blocks, 1)
    matching = torch.arange(count - blocks, count)  # images with the first expert in each block of the other network
    other = torch.cat([one_hot((torch.arange(count) >= first).long(), 3) for first in matching], 1)
    table = agreement_table(collapsed, other)
    assert table["agreement"].tolist() == pytest.approx((matching / count).tolist())
    assert not (table["agreement"] > table["limit_of_chance"]).any()
    assert (table["limit_of_chance"] - table["by_chance"]).max() < 1e-8


@pytest.mark.long
def test_unrelated_networks_seldom_agree_beyond_chance():
    alarms = 0
    for seed in range(60):
        generator = torch.Generator().manual_seed(seed)
        first, second = ((3 * torch.randn(60, 2, 3, generator=generator)).softmax(2) for _ in range(2))
        table = agreement_table(first, second)
        assert table["by_chance"].min() > 1 / 3  # matching experts makes networks alike
        alarms += bool((table["agreement"] > table["limit_of_chance"]).any())
    assert alarms <= 8  # of 60 draws at 5%, more than 8 come with a probability of 0.3%
