"""Projection, ordering and matching by similarity of routing."""

import numpy as np
import torch
from scipy.cluster.hierarchy import leaves_list, linkage, optimal_leaf_ordering
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import pdist
from sklearn.decomposition import PCA
from torch import Tensor


def components(routing_NBK: Tensor) -> tuple[Tensor, list[float]]:
    """Return the first two principal components of the images' routing (N, 2), and their shares of the variance.

    Distances are those of the weights over sqrt(2 B): 1 for images that choose different experts in every block.
    """
    flat = routing_NBK.flatten(1).double().numpy()
    dimensions = min(2, *flat.shape)
    if flat.std(0).max() < 1e-12:  # the routing of all images is the same
        return torch.zeros(len(flat), 2, dtype=torch.float64), [0.0, 0.0]
    pca = PCA(dimensions, svd_solver="full").fit(flat)
    placed = np.zeros((len(flat), 2))
    placed[:, :dimensions] = pca.transform(flat)
    placed /= (2 * routing_NBK.shape[1]) ** 0.5
    return torch.from_numpy(placed), [*pca.explained_variance_ratio_.tolist(), 0.0][:2]


def likeness_order(profiles: Tensor) -> list[int]:
    """Return an order of the rows (C, ...) that puts similar ones next to each other.

    Uses average linkage with optimally ordered leaves (Bar-Joseph 2001, doi:10.1093/bioinformatics/17.suppl_1.S22).
    """
    flat = profiles.flatten(1).double().numpy()
    if len(flat) < 3:
        return list(range(len(flat)))
    distances = pdist(flat)
    return leaves_list(optimal_leaf_ordering(linkage(distances, "average"), distances)).tolist()


def match_experts(reference_CBK: Tensor, other_CBK: Tensor) -> Tensor:
    """Return the expert (from 0) of the other network that matches each of the reference's: (B, K).

    Two trainings number their experts differently. In each block, the Hungarian method finds the assignment that minimizes the
    squared differences of the classes' mean weights (C, B, K). Classes without images are left out.
    """
    known = ~(reference_CBK + other_CBK).isnan().flatten(1).any(1)
    reference, other = reference_CBK[known].double(), other_CBK[known].double()
    cost_BKK = ((reference[:, :, :, None] - other[:, :, None, :]) ** 2).sum(0)
    return torch.tensor(np.array([linear_sum_assignment(cost.numpy())[1] for cost in cost_BKK]))
