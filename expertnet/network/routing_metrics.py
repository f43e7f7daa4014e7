"""Measures of routing weights: entropy, usage, and information about the class.

Shapes: N images, B blocks, K experts. Routing weights (N, B, K) are not negative and sum to 1 over K.
"""

from typing import TypedDict

import torch
from torch import Tensor


class RoutingFigures(TypedDict):
    """The routing of a network on the validation images, as in metrics.jsonl; None where a figure is missing."""

    routing_entropy: list[float | None] | None  # by block, nats
    routing_information: list[float | None] | None  # by block, bits
    expert_usage: list[list[float]] | None  # mean weight, blocks x experts


def entropy(routing: Tensor) -> Tensor:
    """Return the entropy of each weight vector in nats: (..., K) -> (...). One expert alone gives 0, an even split ln K."""
    return torch.special.entr(routing.double()).sum(-1).clamp_min(0)


def usage(routing_NBK: Tensor) -> Tensor:
    """Return the mean weight of each expert over the images: (N, B, K) -> (B, K)."""
    return routing_NBK.double().mean(0)


def class_means(routing_NBK: Tensor, labels_N: Tensor, num_classes: int) -> Tensor:
    """Return the mean weights over the images of each class: (num_classes, B, K), NaN for a class without images."""
    sums = torch.zeros(num_classes, *routing_NBK.shape[1:], dtype=torch.float64)
    sums.index_add_(0, labels_N.cpu(), routing_NBK.double().cpu())
    return sums / torch.bincount(labels_N.cpu(), minlength=num_classes)[:, None, None]


def information(routing_NBK: Tensor, labels_N: Tensor, num_classes: int) -> Tensor:
    """Return the mutual information, in bits per block (B,), between the class and an expert drawn by the routing weights.

    It is H(mean a) minus the mean over images of H(mean a given the image's class).
    """
    share = torch.bincount(labels_N.cpu(), minlength=num_classes).double() / len(labels_N)
    within = entropy(class_means(routing_NBK, labels_N, num_classes).nan_to_num(0))
    return ((entropy(usage(routing_NBK.cpu())) - share @ within) / torch.log(torch.tensor(2.0))).clamp_min(0)
