"""What the routing of each block tells about the class."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from expertnet.network.routing_metrics import entropy, information, usage

LOW = 0.5  # share of ln K under which an entropy is called low


UNUSED = 0.98  # share of ln K over which the images' own entropies say that routing is unused


DRAWS = 100  # permutations of the labels


def permuted_information(routing_NBK: Tensor, labels_N: Tensor, num_classes: int, seed: int = 0) -> Tensor:
    """The information that chance alone gives, in bits: (DRAWS, B), of labels dealt anew to the images.

    Images in a random order are dealt to the classes one class after the other, so that each class is one piece of them.
    """
    generator = torch.Generator().manual_seed(seed)
    flat_NW, counts = routing_NBK.double().flatten(1).numpy(), torch.bincount(labels_N, minlength=num_classes)
    counts = counts[counts > 0]
    starts = (counts.cumsum(0) - counts).numpy()
    orders = (torch.randperm(len(flat_NW), generator=generator).numpy() for _ in range(DRAWS))
    sums_DCW = torch.from_numpy(np.stack([np.add.reduceat(flat_NW[order], starts) for order in orders]))
    within_DCB = entropy((sums_DCW / counts[:, None]).unflatten(2, routing_NBK.shape[1:]))
    share_C = counts.double() / counts.sum()
    return ((entropy(usage(routing_NBK)) - share_C @ within_DCB) / math.log(2)).clamp_min(0)


def verdict(of_mean: float, mean_of: float, num_experts: int) -> str:
    """What the two entropies of a block, in nats, say together."""
    if num_experts == 1:
        return "one expert, nothing to route"
    most = math.log(num_experts)
    if of_mean < LOW * most:
        return "collapse: nearly every image goes to the same expert"
    if mean_of < LOW * most:
        return "decisive and varied: images choose, and choose differently"
    if mean_of > UNUSED * most:
        return "routing unused: every image weighs all experts alike"
    return "soft: images lean to some experts and use the others too"


def block_table(routing_NBK: Tensor, labels_N: Tensor, num_classes: int) -> pd.DataFrame:
    """A row a block: entropy_of_mean and mean_entropy in nats, information and what chance gives in bits, verdict.

    `chance` is the mean over DRAWS permutations of the labels; `chance_high` is passed by any of the blocks in one of twenty
    of them, so that looking at many blocks finds no more by chance than looking at one (Westfall and Young's maxT).
    """
    chance = permuted_information(routing_NBK, labels_N, num_classes)
    spread = chance.std(0)
    furthest = ((chance - chance.mean(0)) / spread.clamp_min(1e-9)).amax(1).quantile(0.95)  # in deviations of its block
    experts = routing_NBK.shape[2]
    of_mean, mean_of = entropy(usage(routing_NBK)), entropy(routing_NBK).mean(0)
    return pd.DataFrame(
        {
            "block": range(1, routing_NBK.shape[1] + 1),
            "entropy_of_mean": of_mean.tolist(),
            "mean_entropy": mean_of.tolist(),
            "information": information(routing_NBK, labels_N, num_classes).round(decimals=6).tolist(),
            "chance": chance.mean(0).round(decimals=6).tolist(),
            "chance_high": (chance.mean(0) + furthest * spread)
            .round(decimals=6)
            .tolist(),  # less is the rounding of float16
            "verdict": [verdict(*pair, experts) for pair in zip(of_mean.tolist(), mean_of.tolist(), strict=True)],
        }
    )
