"""A first layer that whitens the patches of the training images (Page 2019; Jordan 2024, arXiv:2404.00498)."""

import torch
import torch.nn.functional as F
from torch import Tensor

IMAGES = 5000  # that the statistics are taken from
EPSILON = 5e-4  # added to each variance, so that directions without any are not blown up


def whitening_kernels(images_N3HW: Tensor) -> Tensor:
    """Return 24 kernels (24, 3, 2, 2) for normalized images: the 12 eigenvectors of the second moments of their 2x2
    patches, each over the root of its eigenvalue plus EPSILON, and then their negatives. The first 12 responses to these
    images are uncorrelated, each with a mean square of almost 1.
    """
    moments, count = torch.zeros(12, 12, dtype=torch.float64), 0
    for part in images_N3HW.split(500):  # the patches of all images would take half a gigabyte
        patches_12P = F.unfold(part.double(), 2).transpose(0, 1).flatten(1)
        moments += patches_12P @ patches_12P.T
        count += patches_12P.shape[1]
    values, vectors = torch.linalg.eigh(moments / count)
    kernels = (vectors / (values + EPSILON).sqrt()).T.reshape(-1, 3, 2, 2)
    return torch.cat((kernels, -kernels)).to(images_N3HW.dtype)


def sample(images_N: Tensor) -> Tensor:
    """Return at most IMAGES images at equal distances, since folders are sorted by class."""
    return images_N[:: -(-len(images_N) // IMAGES)]
