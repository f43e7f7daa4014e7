"""Intervals and tests of paired differences, against a textbook, exact probabilities and answers on paper."""

from itertools import product
from math import sqrt

import numpy as np
import pytest
import torch
from scipy.stats import binom, binomtest

from expertnet.routing.paired import DRAWS, Z95, exact_p, max_t, paired_change, paired_interval, together


def test_the_interval_of_a_textbook():
    """1,600 people, of whom 150 and 86 changed their minds (Agresti, Categorical Data Analysis: 0.02 to 0.06)."""
    low, high = paired_interval(86, 150, 1600)
    assert (round(low, 3), round(high, 3)) == (0.021, 0.059)


def test_the_interval_on_paper():
    assert paired_interval(6, 0, 359) == pytest.approx((-0.030882, -0.002358), abs=1e-6)
    assert paired_interval(0, 0, 359) == pytest.approx((-Z95 / 361, Z95 / 361))  # never empty
    assert paired_interval(3, 0, 3)[0] == -1


def test_the_exact_p_is_that_of_a_fair_coin():
    for lost, won in ((0, 0), (0, 5), (0, 6), (3, 3), (30, 14), (900, 1100)):
        assert exact_p(lost, won) == pytest.approx(binomtest(won, lost + won).pvalue if won else 1.0)
        assert exact_p(won, lost) == exact_p(lost, won)


def wald(lost, won, count):
    middle = (won - lost) / count
    half = Z95 * sqrt(lost + won - (won - lost) ** 2 / count) / count
    return middle - half, middle + half


def coverage(interval, loses, wins, count=359, most=40, **wide):
    """The exact probability that the interval holds the true difference, if an image loses or wins with these probabilities."""
    total = 0.0
    for lost, won in product(range(most), repeat=2):
        low, high = interval(lost, won, count, **wide)
        chance = binom.pmf(lost, count, loses) * binom.pmf(won, count - lost, wins / (1 - loses))
        total += chance * (low <= wins - loses <= high)
    return total


@pytest.mark.slow
@pytest.mark.parametrize(("loses", "wins"), [(0.004, 0), (0.003, 0.001), (0.006, 0.002), (0.003, 0.003), (0.02, 0.01)])
def test_intervals_hold_as_often_as_they_say_with_few_changed_images(loses, wins):
    assert 0.945 < coverage(paired_interval, loses, wins) <= 1
    if loses + wins < 0.005:
        assert coverage(wald, loses, wins) < 0.8  # the normal approximation


@pytest.mark.slow
@pytest.mark.parametrize(
    ("intervals", "count", "loses", "wins"),
    [
        (12, 143, 0.02, 0),
        (12, 143, 0.03, 0),
        (12, 143, 0.02, 0.005),
        (24, 143, 0.015, 0),
        (24, 400, 0.01, 0),
        (4, 143, 0.02, 0),
    ],
)
def test_independent_intervals_hold_together_with_few_changed_images(intervals, count, loses, wins):
    each = coverage(paired_interval, loses, wins, count, z=together(intervals))
    assert 0.94 < each**intervals <= 1


@pytest.mark.slow
@pytest.mark.parametrize(("intervals", "count"), [(4, 143), (24, 143), (24, 359), (24, 1000)])
def test_intervals_of_images_that_only_become_wrong_hold_together_nearly_as_often(intervals, count):
    ends = np.array([paired_interval(lost, 0, count, together(intervals)) for lost in range(count + 1)])
    found = []
    for loses in np.linspace(0.001, 0.999, 400):
        holds = (ends[:, 0] <= -loses) & (-loses <= ends[:, 1])
        found.append((binom.pmf(np.arange(count + 1), count, loses) @ holds) ** intervals)
    assert min(found) > 0.81 and np.mean(found) > 0.885


def test_intervals_of_several_changes_are_wider():
    assert together(1) == Z95
    assert together(12) == pytest.approx(2.8653, abs=1e-4)  # 0.025 / 12 lie above it (R: qnorm(1 - 0.025 / 12))
    # 2 + 2.8653 ** 2 - 1.96 ** 2 images are added: 6.3684. Without changes, the half width is 2.8653 sqrt(3.1842) / 149.3684
    assert paired_interval(0, 0, 143, together(12)) == pytest.approx((-0.03423, 0.03423), abs=1e-5)


def test_the_comparison_of_two_answers_by_hand():
    labels, before = torch.tensor([0, 0, 1, 1]), torch.tensor([0, 0, 1, 0])
    found = paired_change(labels, before, torch.tensor([1, 1, 1, 1]))  # two lost, one won
    assert found["accuracy"] == 0.5 and found["change"] == -0.25 and found["flipped"] == 3
    assert (found["low"], found["high"]) == paired_interval(2, 1, 4)


def losing(*images, count=40):
    differences = torch.zeros(count)
    differences[list(images)] = -1
    return differences


def near(p, exact):
    """Whether a p-value of DRAWS draws may be of this exact one: within four standard errors."""
    return abs(p - exact) <= 4 * sqrt(exact * (1 - exact) / DRAWS) + 1 / DRAWS


def test_one_change_has_the_p_of_the_sign_test():
    p = max_t(losing(0, 1, 2, 3, 4)[None])
    assert near(p.item(), 2 / 2**5)  # all five signs alike
    assert max_t(torch.zeros(3, 40)).tolist() == [1, 1, 1]
    p = max_t(losing(*range(20))[None])
    assert p.item() == pytest.approx(1 / (DRAWS + 1))  # never 0


def test_independent_changes_are_corrected_for_their_number_and_equal_ones_are_not():
    alone = losing(0, 1, 2, 3, 4)
    p = max_t(torch.stack([losing(*range(5 * part, 5 * part + 5)) for part in range(4)]))
    assert all(near(each, 1 - (1 - 2 / 2**5) ** 4) for each in p.tolist())
    p = max_t(alone.expand(4, -1))
    assert all(near(each, 2 / 2**5) for each in p.tolist())
