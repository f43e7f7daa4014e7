"""Projection, ordering and matching by similarity, where the answer is known."""

import pytest
import torch

from expertnet.routing.similarity import components, likeness_order, match_experts

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
