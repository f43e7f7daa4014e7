"""CKA against its definition, and networks whose experts are known to be alike or not."""

from itertools import permutations

import pytest
import torch

from expertnet.routing.likeness import GROUPS, LIKENESS, UNTRAINED, Likeness, cka, likeness_table, measure_likeness
from tests.support.kinds import KINDS
from tests.support.lab import fitted, measured_images, predictor, saved_run


def grams(*features):
    return torch.stack([x.double() @ x.double().T for x in features])


def hsic(k, l):  # noqa: E741
    """Song 2012, eq. 5: the mean over all quadruples of different images."""
    quads = list(permutations(range(len(k)), 4))
    return sum(k[i, j] * (l[i, j] + l[q, r] - 2 * l[i, q]) for i, j, q, r in quads) / len(quads)


def test_cka_is_the_ratio_of_unbiased_estimates_by_definition():
    generator = torch.Generator().manual_seed(1)
    k, l = grams(*(torch.randn(6, 4, generator=generator) for _ in range(2)))  # noqa: E741
    found = cka(torch.stack([k, l]))
    assert found[0, 1].item() == pytest.approx((hsic(k, l) / (hsic(k, k) * hsic(l, l)) ** 0.5).item())


def test_equal_outputs_are_alike_however_turned_and_scaled_and_unrelated_ones_are_not():
    generator = torch.Generator().manual_seed(2)
    x, other = (torch.randn(200, 10, generator=generator).double() for _ in range(2))
    turned = 3 * x @ torch.linalg.qr(torch.randn(10, 10, generator=generator).double())[0] + 5
    found = cka(grams(x - x.mean(0), turned - turned.mean(0), other, torch.zeros(200, 3)))
    assert found[0, 1].item() == pytest.approx(1)
    assert abs(found[0, 2].item()) < 0.05
    assert found[3].tolist() == [0, 0, 0, 0]  # nothing is like a constant


def test_experts_with_equal_kernels_are_alike_and_dead_ones_are_like_none():
    net = fitted(predictor())
    experts = net.model.backbone.blocks[1].experts
    for tensor in (experts.conv.weight.data, experts.norm.weight.data, experts.norm.bias.data):
        tensor[8:16] = tensor[:8]
    for tensor in (experts.norm.running_mean, experts.norm.running_var):
        tensor[8:16] = tensor[:8]
    experts.norm.weight.data[16:] = experts.norm.bias.data[16:] = 0
    found = measure_likeness(net, measured_images())
    assert found.learned.shape == (3, 3, 3) and found.untrained.shape == (UNTRAINED, 3, 3, 3)
    assert found.learned[1, 0, 1].item() == pytest.approx(1) and found.learned[1, 2].tolist() == [0, 0, 0]
    assert found.learned[0, 0, 1] < 0.999 and (found.untrained[:, 1, 0, 1] < 0.999).all()
    assert len(found.untrained[:, 0, 0, 1].unique()) == UNTRAINED


@pytest.mark.slow
def test_every_kind_of_network_can_be_compared_and_the_result_is_kept(tmp_path):
    for overrides in ({"expert_blocks": (1, 3)}, {"num_experts": 1}, *KINDS):
        found = measure_likeness(predictor(**overrides), measured_images())
        assert found.learned.isfinite().all() and (found.learned.diagonal(dim1=1, dim2=2) > 0.99).any()
    run = saved_run(tmp_path / "runs")
    assert torch.equal(LIKENESS.measure(run, measured_images()).learned, LIKENESS.cached(run, "validation").learned)
    assert len(likeness_table(LIKENESS.measure(run, measured_images(3)), (1, 2, 3))) == 9


def test_fewer_images_than_groups_say_nothing():
    """Of three images, no CKA can be estimated; of fifteen, a group is empty, so the interval is unknown."""
    for count in (3, GROUPS - 1, GROUPS):
        table = likeness_table(measure_likeness(predictor(), measured_images(count)), (1, 2, 3))
        assert table[["cka", "low", "high", "untrained", "untrained_high"]].isna().all(axis=None) == (count < GROUPS)


def test_the_interval_is_that_of_the_jackknife_by_hand():
    """Without one half of the groups it is 0.52, without the other 0.48: a variance of 0.02 squared, times 15 for 16 groups."""
    learned = torch.full((1, 2, 2), 0.5)
    without = torch.full((GROUPS, 1, 2, 2), 0.48)
    without[: GROUPS // 2] = 0.52
    found = Likeness("test", torch.zeros(20), learned, without, torch.full((UNTRAINED, 1, 2, 2), 0.3))
    row = likeness_table(found, (2,)).iloc[0]
    half = 2.13145 * (15 * 0.02**2) ** 0.5
    assert row[["block", "first", "second"]].tolist() == [2, 1, 2]
    assert row[["low", "high"]].tolist() == pytest.approx([0.5 - half, 0.5 + half], abs=1e-4)
    assert row[["untrained", "untrained_high"]].tolist() == pytest.approx([0.3, 0.3])
