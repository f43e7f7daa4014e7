"""How much each block's routing says about the image and about the class, and what its entropies mean."""

import math

import pandas as pd
import torch
from torch import Tensor

from expertnet.network.routing_metrics import entropy, information, usage
from expertnet.routing.chance import Chance, limits
from expertnet.routing.paired import Z95

COLLAPSED = 1.5  # effective experts below which a block has collapsed
CONSTANT = 0.01  # share of ln K: routing that says less about the image is constant
DECISIVE = 0.5  # routing is decisive if the images' mean entropy is below this share of the entropy of the mean


def image_information(routing_NBK: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return what an expert drawn by the weights reveals about the image, as a share of ln K, and its 95% interval: 3 x (B,).

    It is H(mean a) minus the mean of H(a): the mean Kullback-Leibler divergence of an image's weights from the mean weights. The
    interval is by the delta method. Its second-order term is at most that of weights that choose one expert, (K - 1) / (2 N^2).
    """
    count, _, experts = routing_NBK.shape
    divergence_NB = -entropy(routing_NBK) - torch.special.xlogy(routing_NBK.double(), usage(routing_NBK)).sum(2)
    share = divergence_NB.mean(0).clamp_min(0)
    half = Z95 * (divergence_NB.var(0, correction=0) / count + (experts - 1) / (2 * count**2)).sqrt()
    most = math.log(experts) or 1
    return share / most, (share - half).clamp_min(0) / most, (share + half).clamp_max(most) / most


def verdict(of_mean: float, mean_of: float, num_experts: int) -> str:
    """Say what a block's routing does, from the entropy of its mean and the mean entropy of the images, in nats.

    The difference of the two is what `image_information` measures.
    """
    if num_experts == 1:
        return "one expert, nothing to route"
    if math.exp(of_mean) < COLLAPSED:
        return "collapse: one expert gets most of the weight"
    if of_mean - mean_of < CONSTANT * math.log(num_experts):
        return "constant: every image gets nearly the same weights"
    if mean_of < DECISIVE * of_mean:
        return "decisive: images choose, and choose different experts"
    return "soft: images differ in how they mix the experts"


def block_table(routing_NBK: Tensor, labels_N: Tensor, num_classes: int, by_chance: Chance) -> pd.DataFrame:
    """Return a row per block: the columns below.

    `share`, `low` and `high` are those of `image_information`, and `effective` is the number of effective experts, exp H(mean a).
    Entropies are in nats; information, chance and chance_high, which are about the class, in bits.
    `chance` is the mean information over permutations of the labels. In 5% of them any block exceeds its `chance_high`,
    so the number of blocks is corrected for (see `limits`).
    """
    experts = routing_NBK.shape[2]
    of_mean, mean_of = entropy(usage(routing_NBK)), entropy(routing_NBK).mean(0)
    share, low, high = image_information(routing_NBK)
    return pd.DataFrame(
        {
            "block": range(1, routing_NBK.shape[1] + 1),
            "verdict": [verdict(*pair, experts) for pair in zip(of_mean.tolist(), mean_of.tolist(), strict=True)],
            "share": share.tolist(),
            "low": low.tolist(),
            "high": high.tolist(),
            "effective": of_mean.exp().tolist(),
            "entropy_of_mean": of_mean.tolist(),
            "mean_entropy": mean_of.tolist(),
            # smaller decimals are noise of the cached float16 weights
            "information": information(routing_NBK, labels_N, num_classes).round(decimals=6).tolist(),
            "chance": by_chance.information_DB.mean(0).round(decimals=6).tolist(),
            "chance_high": limits(by_chance.information_DB).round(decimals=6).tolist(),
        }
    )
