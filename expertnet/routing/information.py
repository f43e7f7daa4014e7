"""How much each block's routing says about the class, and what its entropies mean."""

import math

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from expertnet.network.routing_metrics import entropy, information, usage

LOW = 0.5  # share of ln K below which an entropy is low
UNUSED = 0.98  # share of ln K above which the mean entropy of images means that routing is unused
DRAWS = 100  # permutations of the labels


def permuted_information(routing_NBK: Tensor, labels_N: Tensor, num_classes: int, seed: int = 0) -> Tensor:
    """Return the information that chance alone gives, in bits, for random permutations of the labels: (DRAWS, B)."""
    generator = torch.Generator().manual_seed(seed)
    # shuffling the images instead of the labels makes each class one slice, which is faster to sum
    flat_NW, counts = routing_NBK.double().flatten(1).numpy(), torch.bincount(labels_N, minlength=num_classes)
    counts = counts[counts > 0]
    starts = (counts.cumsum(0) - counts).numpy()
    orders = (torch.randperm(len(flat_NW), generator=generator).numpy() for _ in range(DRAWS))
    sums_DCW = torch.from_numpy(np.stack([np.add.reduceat(flat_NW[order], starts) for order in orders]))
    within_DCB = entropy((sums_DCW / counts[:, None]).unflatten(2, routing_NBK.shape[1:]))
    share_C = counts.double() / counts.sum()
    return ((entropy(usage(routing_NBK)) - share_C @ within_DCB) / math.log(2)).clamp_min(0)


def verdict(of_mean: float, mean_of: float, num_experts: int) -> str:
    """Say what a block's routing does, from the entropy of its mean and the mean entropy of the images, in nats."""
    if num_experts == 1:
        return "one expert, nothing to route"
    most = math.log(num_experts)
    if of_mean < LOW * most:
        return "collapse: nearly every image goes to the same expert"
    if mean_of < LOW * most:
        return "decisive and varied: images choose, and choose different experts"
    if mean_of > UNUSED * most:
        return "routing unused: every image gives all experts about the same weight"
    return "soft: images prefer some experts but use the others too"


def block_table(routing_NBK: Tensor, labels_N: Tensor, num_classes: int) -> pd.DataFrame:
    """Return a row per block: entropy_of_mean, mean_entropy (nats), information, chance, chance_high (bits), verdict.

    `chance` is the mean information over DRAWS permutations of the labels. In 5% of them any block exceeds its `chance_high`,
    so the number of blocks is corrected for (maxT; Westfall and Young, Resampling-Based Multiple Testing, 1993).
    """
    chance = permuted_information(routing_NBK, labels_N, num_classes)
    spread = chance.std(0)
    furthest = ((chance - chance.mean(0)) / spread.clamp_min(1e-9)).amax(1).quantile(0.95)  # in standard deviations
    experts = routing_NBK.shape[2]
    of_mean, mean_of = entropy(usage(routing_NBK)), entropy(routing_NBK).mean(0)
    return pd.DataFrame(
        {
            "block": range(1, routing_NBK.shape[1] + 1),
            "entropy_of_mean": of_mean.tolist(),
            "mean_entropy": mean_of.tolist(),
            # smaller decimals are noise of the cached float16 weights
            "information": information(routing_NBK, labels_N, num_classes).round(decimals=6).tolist(),
            "chance": chance.mean(0).round(decimals=6).tolist(),
            "chance_high": (chance.mean(0) + furthest * spread).round(decimals=6).tolist(),
            "verdict": [verdict(*pair, experts) for pair in zip(of_mean.tolist(), mean_of.tolist(), strict=True)],
        }
    )
