"""Compare two networks by the paired differences of several seeds: an interval, what could be detected, and a verdict.

The intervals cover what another seed changes (initial weights, order, augmentation, validation split), on the same test set.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from statistics import mean, stdev

ALPHA, POWER = 0.05, 0.8  # two-sided
NO_SPREAD = 1e-12  # a standard deviation that only rounding causes


class Verdict(StrEnum):
    """What a paired difference says about the first network against the second."""

    IMPROVES = "improves accuracy"
    LOWERS = "lowers accuracy"
    EQUIVALENT = "equivalent"
    UNKNOWN = "indistinguishable"


@dataclass(frozen=True)
class Difference:
    """A mean paired difference, its intervals, and the smallest difference that so many pairs show."""

    pairs: int
    mean: float
    low: float  # 95% interval
    high: float
    low_90: float  # 90% interval, for the test of equivalence
    high_90: float
    smallest: float

    def verdict(self, margin: float) -> Verdict:
        """Return what the difference says.

        Within `margin` by two one-sided t-tests at 5% (the 90% interval; Schuirmann 1987), it is equivalent, even if it is not 0.
        """
        if -margin < self.low_90 and self.high_90 < margin:
            return Verdict.EQUIVALENT
        if self.low > 0:
            return Verdict.IMPROVES
        return Verdict.LOWERS if self.high < 0 else Verdict.UNKNOWN


def difference(values: Sequence[float]) -> Difference | None:
    """Summarize paired differences by Student's t; None for fewer than two, or if all are equal and so show no spread."""
    from scipy.stats import t  # loading it takes a second

    if len(values) < 2 or stdev(values) < NO_SPREAD:
        return None
    pairs, middle, error = len(values), mean(values), stdev(values) / len(values) ** 0.5
    wide, narrow = (float(t.ppf(1 - tail, pairs - 1)) * error for tail in (ALPHA / 2, ALPHA))
    smallest = smallest_in_errors(pairs) * error
    return Difference(pairs, middle, middle - wide, middle + wide, middle - narrow, middle + narrow, smallest)


@cache
def smallest_in_errors(pairs: int) -> float:
    """Return the true difference, in standard errors of its estimate, that a two-sided paired t-test at 5% finds with a
    probability of 80%. The statistic then has the noncentral t distribution.
    """
    from scipy.optimize import brentq
    from scipy.stats import nct, t

    freedom = pairs - 1
    critical = t.ppf(1 - ALPHA / 2, freedom)
    # between infinitely many pairs, 2.8, and two, 16.3; the probability of finding it with the wrong sign is below 1e-6
    return float(brentq(lambda errors: nct.sf(critical, freedom, errors) - POWER, 1.0, 25.0))
