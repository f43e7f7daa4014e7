"""Intervals of accuracies, and of the difference between two sets of answers for the same images; tests of many differences."""

from math import comb, sqrt
from statistics import NormalDist

import torch
from torch import Tensor

Z95 = 1.96  # standard deviations of a 95% interval
DRAWS = 999  # random signs; with the data themselves, 1,000 equally likely cases
SIGNIFICANT = 0.05


def wilson(value: float, count: float) -> tuple[float, float]:
    """Return the 95% interval of a share of `count` images (Wilson 1927), which need not be a whole number."""
    middle = value + Z95**2 / (2 * count)
    half = Z95 * sqrt(value * (1 - value) / count + (Z95 / (2 * count)) ** 2)
    scale = 1 + Z95**2 / count
    # however it is rounded, the interval holds the share itself, also 0 and 1
    return min(max((middle - half) / scale, 0.0), value), max(min((middle + half) / scale, 1.0), value)


def paired_interval(lost: int, won: int, count: int, z: float = Z95) -> tuple[float, float]:
    """Return an interval of a change in accuracy, as fractions, if `lost` of `count` images became wrong and `won` right.

    Adds half an image to each of the four cases, so that few changes do not make the interval too narrow, and none do not make
    it empty (Agresti and Min 2005, doi:10.1002/sim.1781). That fits Z95. A wider interval needs more, as Wilson's adds z ** 2 images
    to a share. With what is added here, 4 to 24 independent intervals of 143 to 1,000 images have a joint coverage of 0.95 or more if a
    quarter as many images or more become right as wrong. If none do, it is 0.82 or more, and 0.89 to 0.96 on average over the
    probabilities of becoming wrong.
    """
    added = 2 + z**2 - Z95**2
    middle = (won - lost) / (count + added)
    half = z * sqrt(lost + won + added / 2 - (won - lost) ** 2 / (count + added)) / (count + added)
    return max(middle - half, -1.0), min(middle + half, 1.0)


def exact_p(lost: int, won: int) -> float:
    """Return the probability that chance alone makes changes as uneven as `lost` and `won` (McNemar's test, exact, two-sided).

    With 5 or fewer changed images, it is above 0.05, whereas `paired_interval` can exclude 0 if there are hardly any others.
    """
    changed = lost + won
    cases = sum(comb(changed, number) for number in range(min(lost, won) + 1))
    return min(2 * cases / 2**changed, 1.0)


def paired_change(labels_N: Tensor, before_N: Tensor, after_N: Tensor, z: float = Z95) -> dict[str, float]:
    """Compare two sets of predicted classes: accuracy (after), change, low, high (fractions) and flipped (a count)."""
    was, now = before_N == labels_N, after_N == labels_N
    lost, won, count = int((was & ~now).sum()), int((now & ~was).sum()), len(labels_N)
    low, high = paired_interval(lost, won, count, z)
    flipped = int((before_N != after_N).sum())
    return {
        "accuracy": int(now.sum()) / count,
        "change": (won - lost) / count,
        "low": low,
        "high": high,
        "flipped": flipped,
    }


def together(intervals: int) -> float:
    """Return how many standard deviations wide so many intervals must be for all to hold at 95% together (Bonferroni).

    Quantiles of the statistics of `max_t` do not serve: with few changed images, they take few values, all of them too small.
    """
    return max(NormalDist().inv_cdf(1 - SIGNIFICANT / 2 / intervals), Z95)


def max_t(differences_JN: Tensor) -> Tensor:
    """Test J changes on the same N images at once. `differences_JN` is -1 where an image became wrong, 1 where right, else 0.

    Returns p-values corrected for J (J,). Without any effect, an image is as likely to become wrong as right, so its signs may be
    flipped, in all J changes alike. Each change is compared with the largest of the J statistics (maxT; Westfall and Young,
    Resampling-Based Multiple Testing, 1993), and p is (1 + the number of draws with a larger one) / (DRAWS + 1).
    """
    changed = differences_JN[:, (differences_JN != 0).any(0)].double()  # the other images count for nothing
    scale_J = changed.square().sum(1).sqrt().clamp_min(1)
    signs = 2.0 * torch.randint(2, (DRAWS, changed.shape[1]), generator=torch.Generator().manual_seed(0)) - 1
    largest = ((signs.double() @ changed.T).abs() / scale_J).amax(1)
    observed_J = changed.sum(1).abs() / scale_J
    larger_J = (largest[:, None] >= observed_J - 1e-9).sum(0)
    return (1 + larger_J) / (DRAWS + 1)
