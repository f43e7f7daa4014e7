"""Experts that are left out at random, against the shares on paper."""

import pytest
import torch

from expertnet.training.expert_dropout import ExpertDropout

CPU = torch.device("cpu")


def drawn(share, experts, images=20_000):
    dropout = ExpertDropout(share, experts)
    dropout.draw(images, torch.Generator().manual_seed(0), CPU)
    return dropout


@pytest.mark.parametrize(("share", "experts"), [(0.25, 3), (0.5, 2), (0.9, 4)])
def test_each_expert_is_left_out_at_its_share_and_one_always_remains(share, experts):
    """An expert with a draw below the share p stays only if all K are below and its own is the highest: p^K / K."""
    kept = drawn(share, experts)(torch.full((20_000, experts), 1 / experts)) > 0
    expected = share - share**experts / experts
    deviation = (expected * (1 - expected) / len(kept)) ** 0.5
    assert ((~kept).float().mean(0) - expected).abs().max() < 4.5 * deviation
    assert kept.any(1).all()


def test_those_that_remain_keep_their_proportions_and_sum_to_one():
    weights = torch.rand(20_000, 3, generator=torch.Generator().manual_seed(1)).softmax(1)
    changed = drawn(0.5, 3)(weights)
    torch.testing.assert_close(changed.sum(1), torch.ones(20_000))
    both = (changed[:, 0] > 0) & (changed[:, 1] > 0)
    torch.testing.assert_close(
        changed[both, 0] / changed[both, 1], weights[both, 0] / weights[both, 1], rtol=1e-3, atol=0
    )


def test_the_expert_that_remains_may_have_had_no_weight():
    weights = torch.tensor([[1.0, 0.0]]).expand(1000, 2)
    changed = drawn(0.5, 2, 1000)(weights)
    assert changed.isfinite().all() and (changed[:, 1] > 0.99).any()


def test_a_single_expert_is_never_left_out():
    assert torch.equal(drawn(0.9, 1, 10)(torch.ones(10, 1)), torch.ones(10, 1))
