"""Projection and ordering by similarity of routing, and the agreement of two networks."""

import numpy as np
import pandas as pd
import torch
from scipy.cluster.hierarchy import leaves_list, linkage, optimal_leaf_ordering
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import pdist
from sklearn.decomposition import PCA
from torch import Tensor

from expertnet.routing.chance import limits

AGREEMENTS = 199  # permutations of the images; 999, as elsewhere, take 17 seconds for 10,000 images and 8 blocks


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
    placed /= _unit(routing_NBK)
    return torch.from_numpy(placed), [*pca.explained_variance_ratio_.tolist(), 0.0][:2]


def most_distance(routing_NBK: Tensor) -> float:
    """Return a distance, on the scale of `components`, that no two images exceed: twice that of the furthest one from the mean."""
    flat = routing_NBK.flatten(1).double()
    return 2 * float((flat - flat.mean(0)).norm(dim=1).max()) / _unit(routing_NBK)


def _unit(routing_NBK: Tensor) -> float:
    """Return the distance of two images that choose different experts in every block."""
    return float((2 * routing_NBK.shape[1]) ** 0.5)


def likeness_order(profiles: Tensor) -> list[int]:
    """Return an order of the rows (C, ...) that puts similar ones next to each other.

    Uses average linkage with optimally ordered leaves (Bar-Joseph 2001, doi:10.1093/bioinformatics/17.suppl_1.S22).
    """
    flat = profiles.flatten(1).double().numpy()
    if len(flat) < 3:
        return list(range(len(flat)))
    distances = pdist(flat)
    return leaves_list(optimal_leaf_ordering(linkage(distances, "average"), distances)).tolist()


def match_experts(reference_XBK: Tensor, other_XBK: Tensor) -> Tensor:
    """Return the expert (from 0) of the other network that matches each of the reference's: (B, K).

    Two trainings number their experts differently. In each block, the Hungarian method finds the assignment that minimizes the
    squared differences of the weights of the same images, or of the mean weights of classes. Classes without images are left out.
    """
    known = ~(reference_XBK + other_XBK).isnan().flatten(1).any(1)
    # the squares themselves are the same for every assignment
    cost_BKK = -torch.einsum("xbk,xbj->bkj", reference_XBK[known].double(), other_XBK[known].double())
    return torch.tensor(np.array([linear_sum_assignment(cost.numpy())[1] for cost in cost_BKK]))


def agreement_table(reference_NBK: Tensor, other_NBK: Tensor) -> pd.DataFrame:
    """Return a row per block: block, agreement, by_chance, excess, limit_of_chance.

    `agreement` is the share of images in which experts matched by these images have the largest weight. `by_chance` is its mean over
    AGREEMENTS permutations of the other network's images, each matched again, and `excess` the difference. If the networks have
    nothing in common, any block exceeds its limit with a probability of LEVEL (see `limits`).
    """
    first_NB = reference_NBK.argmax(2)

    def same(routing_NBK: Tensor) -> Tensor:
        order_BK = match_experts(reference_NBK, routing_NBK)
        renumbered_NB = order_BK.argsort(1).gather(1, routing_NBK.argmax(2).T).T
        return (renumbered_NB == first_NB).double().mean(0)

    generator = torch.Generator().manual_seed(0)
    orders = (torch.randperm(len(first_NB), generator=generator) for _ in range(AGREEMENTS))
    observed_B, drawn_DB = same(other_NBK), torch.stack([same(other_NBK[order]) for order in orders])
    return pd.DataFrame(
        {
            "block": range(1, len(observed_B) + 1),
            "agreement": observed_B.tolist(),
            "by_chance": drawn_DB.mean(0).tolist(),
            "excess": (observed_B - drawn_DB.mean(0)).tolist(),
            "limit_of_chance": limits(drawn_DB).tolist(),
        }
    )
