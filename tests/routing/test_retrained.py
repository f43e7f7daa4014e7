"""Paired differences of several seeds, against scipy and against answers on paper."""

import math

import numpy as np
import pytest
from scipy.stats import ttest_1samp, ttest_rel

from expertnet.routing.retrained import Verdict, difference, smallest_in_errors


def test_the_interval_of_three_differences_on_paper():
    """With two degrees of freedom, Student's t has the distribution 1/2 + t / (2 sqrt(2 + t^2)), so 97.5% lie below 4.3027."""
    quantile = math.sqrt(2 * 0.95**2 / (1 - 0.95**2))
    found = difference([0.01, 0.02, 0.06])
    error = math.sqrt((0.02**2 + 0.01**2 + 0.03**2) / 2) / math.sqrt(3)
    assert found.mean == pytest.approx(0.03)
    assert (found.low, found.high) == pytest.approx((0.03 - quantile * error, 0.03 + quantile * error))
    assert found.smallest == pytest.approx(smallest_in_errors(3) * error)
    assert found.pairs == 3


def test_one_pair_and_pairs_without_spread_have_no_interval():
    assert difference([]) is None and difference([0.01]) is None
    assert difference([0.9 - 0.8, 0.8 - 0.7, 0.7 - 0.6]) is None  # equal but for rounding


def test_the_intervals_are_those_of_scipys_paired_t_test():
    seed = 5
    learned, control = np.random.default_rng(seed).normal(0.9, 0.01, (2, 7))
    found, reference = difference((learned - control).tolist()), ttest_rel(learned, control)
    for level, ends in ((0.95, (found.low, found.high)), (0.90, (found.low_90, found.high_90))):
        interval = reference.confidence_interval(level)
        assert ends == pytest.approx((interval.low, interval.high)), seed


@pytest.mark.parametrize(
    ("values", "verdict"),
    [  # with 4 pairs that differ by ±0.001, the standard error is 0.000667, and half the 90% interval 0.00157
        ((0.009, 0.011, 0.009, 0.011), Verdict.IMPROVES),
        ((-0.009, -0.011, -0.009, -0.011), Verdict.LOWERS),
        ((0.002, 0.004, 0.002, 0.004), Verdict.EQUIVALENT),  # though not 0
        ((0.0027, 0.0047, 0.0027, 0.0047), Verdict.IMPROVES),  # to 0.00527, beyond the margin
        ((-0.001, 0.001, 0.009, -0.009), Verdict.UNKNOWN),
    ],
)
def test_the_verdict_within_and_beyond_a_margin_of_half_a_point(values, verdict):
    assert difference(values).verdict(0.005) == verdict


def test_the_verdict_on_equivalence_is_that_of_two_one_sided_tests():
    """Schuirmann (1987): equivalent if both one-sided t-tests against the margin reject at 5%."""
    seed = 11
    generator, verdicts = np.random.default_rng(seed), set()
    for _ in range(40):
        values, margin = generator.normal(0, 0.003, 5), 0.004
        above = ttest_1samp(values, -margin, alternative="greater").pvalue < 0.05
        below = ttest_1samp(values, margin, alternative="less").pvalue < 0.05
        equivalent = difference(values.tolist()).verdict(margin) == Verdict.EQUIVALENT
        assert equivalent == (above and below), seed
        verdicts.add(equivalent)
    assert verdicts == {True, False}, seed


def test_the_smallest_difference_of_three_pairs_has_the_power_on_paper():
    """For two degrees of freedom, Owen (1968) gives the noncentral t distribution in closed form."""

    def below(t, shift):
        a, b = t / math.sqrt(2), 2 / (2 + t * t)
        normal = lambda x: math.erfc(-x / math.sqrt(2)) / 2  # noqa: E731
        density = math.exp(-(shift**2) * b / 2) / math.sqrt(2 * math.pi)
        return normal(-shift) + math.sqrt(2 * math.pi) * a * math.sqrt(b) * density * normal(shift * a * math.sqrt(b))

    quantile, shift = math.sqrt(2 * 0.95**2 / (1 - 0.95**2)), smallest_in_errors(3)
    assert 1 - below(quantile, shift) + below(-quantile, shift) == pytest.approx(0.8, abs=1e-6)


@pytest.mark.parametrize(("pairs", "size"), [(199, 0.2), (34, 0.5), (15, 0.8)])
def test_as_many_pairs_as_cohens_tables_ask_for(pairs, size):
    """Cohen (1988): so many pairs show a difference of so many standard deviations, and one pair fewer does not."""
    assert smallest_in_errors(pairs) / pairs**0.5 <= size < smallest_in_errors(pairs - 1) / (pairs - 1) ** 0.5


def test_two_pairs_show_only_a_large_difference():
    assert smallest_in_errors(2) == pytest.approx(16.3, abs=0.2)  # one degree of freedom: 12.71 * 1.28
