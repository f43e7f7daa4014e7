"""Order, placement and matching by similar routing."""

from __future__ import annotations

import numpy as np
import torch
from scipy.cluster.hierarchy import leaves_list, linkage, optimal_leaf_ordering
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import pdist
from sklearn.decomposition import PCA
from torch import Tensor


def components(routing_NBK: Tensor) -> tuple[Tensor, list[float]]:
    """The routing vectors of the images in two dimensions (principal components): (N, 2), and each one's share of the variance."""
    flat = routing_NBK.flatten(1).double().numpy()
    dimensions = min(2, *flat.shape)
    if flat.std(0).max() < 1e-12:  # routing that is the same for every image has no directions
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
    differ least (sum of squares; the Hungarian method). Classes without images are left out.
    """
    known = ~(reference_CBK + other_CBK).isnan().flatten(1).any(1)
    reference, other = reference_CBK[known].double(), other_CBK[known].double()
    cost_BKK = ((reference[:, :, :, None] - other[:, :, None, :]) ** 2).sum(0)
    return torch.tensor(np.array([linear_sum_assignment(cost.numpy())[1] for cost in cost_BKK]))
