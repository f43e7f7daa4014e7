"""Routing weights -> figures and tables.

In this module: entropy, information and usage (tensors), weights_table and class_table (tidy frames).
Shapes: N images, B blocks, K experts; routing weights are (N, B, K), positive, and sum to 1 over K.
"""

from __future__ import annotations

import torch
from torch import Tensor


def entropy(routing: Tensor) -> Tensor:
    """Entropy of each weight vector, in nats: (..., K) -> (...). 0 is one expert alone, ln K all alike."""
    return torch.special.entr(routing.double()).sum(-1).clamp_min(0)


def usage(routing_NBK: Tensor) -> Tensor:
    """Mean weight of each expert over the images: (N, B, K) -> (B, K)."""
    return routing_NBK.double().mean(0)


def class_means(routing_NBK: Tensor, labels_N: Tensor, num_classes: int) -> Tensor:
    """Mean weights over the images of each class: (num_classes, B, K); a class without images is NaN."""
    sums = torch.zeros(num_classes, *routing_NBK.shape[1:], dtype=torch.float64)
    sums.index_add_(0, labels_N.cpu(), routing_NBK.double().cpu())
    return sums / torch.bincount(labels_N.cpu(), minlength=num_classes)[:, None, None]


def information(routing_NBK: Tensor, labels_N: Tensor, num_classes: int) -> Tensor:
    """How much an expert drawn by the routing weights tells about the class, in bits a block: (B,).

    H(mean a) - mean over the images' classes of H(mean a given the class): the mutual information of class and expert.
    """
    share = torch.bincount(labels_N.cpu(), minlength=num_classes).double() / len(labels_N)
    within = entropy(class_means(routing_NBK, labels_N, num_classes).nan_to_num(0))
    return ((entropy(usage(routing_NBK.cpu())) - share @ within) / torch.log(torch.tensor(2.0))).clamp_min(0)
