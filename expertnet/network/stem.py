"""The first layer, which may whiten the patches of the training images (Page 2019; Jordan 2024, arXiv:2404.00498).

Shapes: N images, C channels out, H x W pixels, P patches.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from expertnet.settings.schema import ModelSettings

ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {"relu": F.relu, "gelu": F.gelu, "silu": F.silu}
IMAGES = 5000  # that the statistics are taken from
EPSILON = 5e-4  # added to each variance, so that directions without any are not blown up


class Norm(nn.BatchNorm2d):
    """Batch norm, also of some of its channels (N, C, H, W) with views of its parameters and running statistics (C,)."""

    def apply_to(self, x_NCHW: Tensor, scale: Tensor, shift: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        return F.batch_norm(x_NCHW, mean, variance, scale, shift, self.training, self.momentum or 0.0, self.eps)

    def apply_each(self, parts: Iterable[Tensor], count: int) -> Iterator[Tensor]:
        """Yield `count` parts, each normalized by its share of the channels, before the next one is taken."""
        assert self.running_mean is not None and self.running_var is not None
        # Views, one per part; the norm updates those of the running statistics in place.
        tensors = (self.weight, self.bias, self.running_mean, self.running_var)
        for part, *slices in zip(parts, *(tensor.chunk(count) for tensor in tensors), strict=True):
            yield self.apply_to(part, *slices)

    @torch.no_grad()
    def follow(self, mean_C: Tensor, variance_C: Tensor, count: int) -> None:
        """Move the running statistics towards the mean and biased variance of a batch with `count` pixels, as a forward pass does."""
        assert self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None
        self.running_mean.lerp_(mean_C, self.momentum or 0.0)
        self.running_var.lerp_(variance_C * (count / (count - 1)), self.momentum or 0.0)
        self.num_batches_tracked.add_(1)


def make_norm(channels: int, model: ModelSettings) -> Norm:
    """Return a batch norm, whose scale stays 1 if it is not learned."""
    norm = Norm(channels, momentum=model.norm_momentum)
    norm.weight.requires_grad_(model.norm_scale)
    return norm


class Stem(nn.Module):
    """3x3 convolution, batch norm, activation: (N, 3, H, W) -> (N, C, H, W)."""

    def __init__(self, model: ModelSettings) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, model.stem_width, 3, padding=1, bias=False)  # the norm adds one
        self.norm = make_norm(model.stem_width, model)
        self.activation = ACTIVATIONS[model.activation]

    def forward(self, x_N3HW: Tensor) -> Tensor:
        return self.activation(self.norm(self.conv(x_N3HW)))


class WhitenedStem(nn.Module):
    """2x2 convolution without padding, activation: (N, 3, H, W) -> (N, 24, H-1, W-1). `whiten` sets the fixed kernels."""

    def __init__(self, model: ModelSettings) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, model.stem_width, 2)
        self.conv.weight.requires_grad_(False)
        self.activation = ACTIVATIONS[model.activation]

    def whiten(self, images_N3HW: Tensor) -> None:
        """Take the kernels from normalized training images."""
        self.conv.weight.copy_(whitening_kernels(images_N3HW))

    def forward(self, x_N3HW: Tensor) -> Tensor:
        return self.activation(self.conv(x_N3HW))


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
    count = min(IMAGES, len(images_N))
    return images_N[torch.arange(count) * len(images_N) // count]
