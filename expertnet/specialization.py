"""What the experts of a trained network have made their own, from the routing of its test set.

In this module: block_table (entropies, information against chance, the verdict in words), expert_table (utilization and
first places), specializations (only those that repeat), mistakes_table, components (two dimensions to draw), likeness_order,
match_experts; training_table and utilization_table over epochs. Frames are tidy: a row a block, or a block and an expert,
both counted from 1.
Shapes: N pictures, B blocks, K experts, C classes; routing weights are (N, B, K).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.cluster.hierarchy import leaves_list, linkage, optimal_leaf_ordering
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import pdist
from scipy.stats import binomtest
from sklearn.decomposition import PCA
from torch import Tensor

from expertnet.network.routing_metrics import class_means, entropy, information, usage

DEAD_BELOW = 0.1  # utilization; an expert is dead where silencing it changes next to nothing too
DEAD_FLIPS = 0.001  # share of pictures that may change their class when a dead expert is silenced
LOW = 0.5  # share of ln K under which an entropy is called low
UNUSED = 0.98  # share of ln K over which the pictures' own entropies say that routing is unused
NOTABLE = 1.05  # times an expert's mean weight that a class must give it to be named as its own
DRAWS = 100  # permutations of the labels


def permuted_information(routing_NBK: Tensor, labels_N: Tensor, num_classes: int, seed: int = 0) -> Tensor:
    """The information that chance alone gives, in bits: (DRAWS, B), of labels dealt anew to the pictures.

    Pictures in a random order are dealt to the classes one class after the other, so that each class is one piece of them.
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
        return "collapse: nearly every picture goes to the same expert"
    if mean_of < LOW * most:
        return "decisive and varied: pictures choose, and choose differently"
    if mean_of > UNUSED * most:
        return "routing unused: every picture weighs all experts alike"
    return "soft: pictures lean to some experts and use the others too"


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


def expert_table(routing_NBK: Tensor) -> pd.DataFrame:
    """A row a block and expert: weight (mean), utilization (K times that: 1 is a fair share), first (share of pictures)."""
    _, blocks, experts = routing_NBK.shape
    weight = usage(routing_NBK)
    first = torch.nn.functional.one_hot(routing_NBK.argmax(2), experts).double().mean(0)
    return pd.DataFrame(
        {
            "block": np.repeat(range(1, blocks + 1), experts),
            "expert": np.tile(range(1, experts + 1), blocks),
            "weight": weight.flatten().tolist(),
            "utilization": (experts * weight).flatten().tolist(),
            "first": first.flatten().tolist(),
        }
    )


def extremes(routing_NBK: Tensor, block: int, expert: int, count: int) -> tuple[list[int], list[int]]:
    """The pictures that weigh an expert (from 1) most, and least; the most extreme one first."""
    order = routing_NBK[:, block - 1, expert - 1].argsort(stable=True).tolist()
    return order[::-1][:count], order[:count]


def halves(labels_N: Tensor) -> tuple[Tensor, Tensor]:
    """The pictures in two halves, every second of each class in one of them."""
    place = torch.empty_like(labels_N)
    for label in labels_N.unique():
        members = (labels_N == label).nonzero()[:, 0]
        place[members] = torch.arange(len(members))
    return (place % 2 == 0).nonzero()[:, 0], (place % 2 == 1).nonzero()[:, 0]


def specializations(routing_NBK: Tensor, labels_N: Tensor, classes: Sequence[str]) -> pd.DataFrame:
    """A row a block and expert: the class that weighs it most on one half of the pictures, if the other half says the same.

    Columns block, expert, class ("" where it does not repeat), ratio (that class's mean weight over the expert's mean weight,
    on the half that the class was not chosen on).
    """
    first, second = halves(labels_N)
    means = [class_means(routing_NBK[half], labels_N[half], len(classes)).nan_to_num(0) for half in (first, second)]
    overall = usage(routing_NBK[second]).clamp_min(1e-12)
    rows = []
    for block in range(routing_NBK.shape[1]):
        for expert in range(routing_NBK.shape[2]):
            chosen, again = (int(mean[:, block, expert].argmax()) for mean in means)
            ratio = float(means[1][chosen, block, expert] / overall[block, expert])
            repeats = chosen == again and ratio > NOTABLE and len(classes) > 1
            rows.append((block + 1, expert + 1, classes[chosen] if repeats else "", ratio))
    return pd.DataFrame(rows, columns=["block", "expert", "class", "ratio"])


def mistakes_table(routing_NBK: Tensor, labels_N: Tensor, predictions_N: Tensor, num_classes: int) -> pd.DataFrame:
    """Whether mistakes route like the class they were taken for: a row a block.

    Columns block, share (of the mistakes, those whose weights lie nearer to the mean of the class they were taken for than to
    that of their own, in total variation; the means are over pictures that were classified rightly), low and high (its
    interval, Wilson, of 95 % for all blocks together, Bonferroni), mistakes. Half would be no preference. Ties count as half.
    """
    right = predictions_N == labels_N
    means = class_means(routing_NBK[right], labels_N[right], num_classes)
    wrong, own, taken = routing_NBK[~right].double(), means[labels_N[~right]], means[predictions_N[~right]]
    known = ~(own.isnan() | taken.isnan()).flatten(1).any(1)
    to_own, to_taken = ((wrong - mean)[known].abs().sum(2) for mean in (own, taken))
    closer = (to_taken < to_own).double() + 0.5 * (to_taken == to_own).double()
    rows = []
    for block in range(routing_NBK.shape[1]):
        count = int(known.sum())
        if count:
            share = float(closer[:, block].mean())
            level = 1 - 0.05 / routing_NBK.shape[1]
            interval = binomtest(round(share * count), count).proportion_ci(level, method="wilson")
            rows.append((block + 1, share, interval.low, interval.high, count))
    return pd.DataFrame(rows, columns=["block", "share", "low", "high", "mistakes"])


def training_table(metrics: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Both entropies (nats) and the information (bits) of each block over epochs, from the lines of metrics.jsonl."""
    rows = []
    for line in metrics:
        usage_BK, own, bits = (line.get(key) for key in ("expert_usage", "routing_entropy", "routing_information"))
        if usage_BK and own and bits and None not in (*own, *bits):
            values = zip(
                entropy(torch.tensor(usage_BK)).tolist(), own, (round(value, 6) for value in bits), strict=False
            )
            rows += [(line["epoch"], block, *row) for block, row in enumerate(values, 1)]
    return pd.DataFrame(rows, columns=["epoch", "block", "entropy_of_mean", "mean_entropy", "information"])


def utilization_table(metrics: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """The utilization of each expert of each block over epochs, from the lines of metrics.jsonl."""
    rows = [
        (line["epoch"], block, expert, len(weights) * weight)
        for line in metrics
        for block, weights in enumerate(line.get("expert_usage") or [], 1)
        for expert, weight in enumerate(weights, 1)
    ]
    return pd.DataFrame(rows, columns=["epoch", "block", "expert", "utilization"])


def components(routing_NBK: Tensor) -> tuple[Tensor, list[float]]:
    """The routing vectors of the pictures in two dimensions (principal components): (N, 2), and each one's share of the variance."""
    flat = routing_NBK.flatten(1).double().numpy()
    dimensions = min(2, *flat.shape)
    if flat.std(0).max() < 1e-12:  # routing that is the same for every picture has no directions
        return torch.zeros(len(flat), 2, dtype=torch.float64), [0.0, 0.0]
    pca = PCA(dimensions, svd_solver="full").fit(flat)
    placed = np.zeros((len(flat), 2))
    placed[:, :dimensions] = pca.transform(flat)
    return torch.from_numpy(placed), [*pca.explained_variance_ratio_.tolist(), 0.0][:2]


def likeness_order(profiles: Tensor) -> list[int]:
    """An order of the rows (C, ...) in which neighbours are alike: average linkage with optimally ordered leaves."""
    flat = profiles.flatten(1).double().numpy()
    if len(flat) < 3:
        return list(range(len(flat)))
    distances = pdist(flat)
    return leaves_list(optimal_leaf_ordering(linkage(distances, "average"), distances)).tolist()


def match_experts(reference_CBK: Tensor, other_CBK: Tensor) -> Tensor:
    """Which expert of the other network stands for each of the reference's: (B, K), numbers from 0.

    Experts have no order that two seeds would share. Each block is matched by the assignment that makes the classes' mean weights
    differ least (sum of squares; the Hungarian method). Classes without pictures are left out.
    """
    known = ~(reference_CBK + other_CBK).isnan().flatten(1).any(1)
    reference, other = reference_CBK[known].double(), other_CBK[known].double()
    cost_BKK = ((reference[:, :, :, None] - other[:, :, None, :]) ** 2).sum(0)
    return torch.tensor(np.array([linear_sum_assignment(cost.numpy())[1] for cost in cost_BKK]))
