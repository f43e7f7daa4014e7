"""What chance alone would show: how the classes are routed when the labels are dealt out at random."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor

from expertnet.network.routing_metrics import entropy, usage
from expertnet.routing.weights import HARDLY_USED

DRAWS = 999  # permutations of the labels
LEVEL = 0.05  # the probability that anything of a family passes its limit by chance
CHUNK = 100  # permutations held in memory at a time
ROUNDING = 1e-9  # by which values that are equal may differ


@dataclass(frozen=True, eq=False)
class Chance:
    """What each of the DRAWS permutations of the labels gives."""

    information_DB: Tensor  # what an expert drawn by the weights says about the class, in bits
    lead_D: Tensor  # the largest of `leads`
    spread_DB: Tensor  # the largest difference between the mean weights of two classes for one expert of a block


def chance(routing_NBK: Tensor, labels_N: Tensor, seed: int = 0) -> Chance:
    """Deal out the labels DRAWS times."""
    share_C = labels_N.unique(return_counts=True)[1].double() / len(labels_N)
    information, lead, spread = [], [], []
    for means_DCBK in _permuted_means(routing_NBK, labels_N, seed):
        within_DB = torch.einsum("c,dcb->db", share_C, entropy(means_DCBK))
        information.append(((entropy(usage(routing_NBK)) - within_DB) / math.log(2)).clamp_min(0))
        lead.append(leads(means_DCBK, routing_NBK, labels_N).flatten(1).amax(1))
        spread.append((means_DCBK.amax(1) - means_DCBK.amin(1)).amax(2))
    return Chance(torch.cat(information), torch.cat(lead), torch.cat(spread))


def _permuted_means(routing_NBK: Tensor, labels_N: Tensor, seed: int) -> Iterator[Tensor]:
    """Yield the mean weights of each class that has images, for up to CHUNK permutations of the labels at a time: (D, C, B, K)."""
    count, generator = len(labels_N), torch.Generator().manual_seed(seed)
    size_C = labels_N.unique(return_counts=True)[1]
    flat_NW = routing_NBK.double().flatten(1).numpy()
    for start in range(0, DRAWS, CHUNK):
        draws = min(CHUNK, DRAWS - start)
        images = torch.cat([torch.randperm(count, generator=generator) for _ in range(draws)]).numpy()
        ends = np.append(0, size_C.repeat(draws).cumsum(0).numpy())
        # a row per draw and class, with a 1 for each of its images
        dealt = csr_array((np.ones(len(images)), images, ends), shape=(len(ends) - 1, count))
        sums_DCBK = torch.from_numpy(dealt @ flat_NW).reshape(draws, len(size_C), *routing_NBK.shape[1:])
        yield sums_DCBK / size_C[:, None, None]


def leads(means_CBK: Tensor, routing_NBK: Tensor, labels_N: Tensor) -> Tensor:
    """Return by how many standard deviations each class with images raises each expert's mean weight: (..., C, B, K).

    The standard deviation is that of the mean of as many images drawn at random without replacement. Experts that are hardly used
    or whose weight is constant, and a class that holds all images, lead by minus infinity.
    """
    count, size_C = len(labels_N), labels_N.unique(return_counts=True)[1].double()
    drawn_C = ((count - size_C) / (size_C * max(count - 1, 1))).sqrt()
    deviation_BK = routing_NBK.double().std(0, correction=0)
    used_BK = routing_NBK.shape[2] * usage(routing_NBK) >= HARDLY_USED
    scale_CBK = drawn_C[:, None, None] * deviation_BK * used_BK
    lead = (means_CBK - usage(routing_NBK)) / scale_CBK.clamp_min(1e-12)
    return lead.masked_fill(scale_CBK < 1e-9, -torch.inf)


def limit(drawn: Tensor) -> Tensor:
    """Return what a share LEVEL of the draws exceeds: (D, ...) -> (...). Above it, `p_value` is at most LEVEL."""
    return drawn.sort(0).values[math.ceil((1 - LEVEL) * (len(drawn) + 1)) - 1]


def limits(drawn_DB: Tensor) -> Tensor:
    """Return a limit for each column, of which any is exceeded in a share LEVEL of the draws: (B,).

    The columns count alike, each in its own standard deviations (maxT; Westfall and Young, Resampling-Based Multiple Testing, 1993).
    """
    mean_B, spread_B = drawn_DB.mean(0), drawn_DB.std(0)
    most = limit(((drawn_DB - mean_B) / spread_B.clamp_min(ROUNDING)).amax(1))
    return mean_B + most * spread_B + ROUNDING  # the mean of equal draws may lie below them


def p_value(observed: Tensor, drawn_D: Tensor) -> Tensor:
    """Return (1 + the number of draws that reach the observed value) / (1 + the number of draws), of the shape of `observed`."""
    ordered_D = drawn_D.sort().values
    reach = len(ordered_D) - torch.searchsorted(ordered_D, observed.contiguous() - ROUNDING)
    return (1 + reach).double() / (1 + len(ordered_D))
