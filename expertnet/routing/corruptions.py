"""Images damaged in common ways, one severity each, in the spirit of Hendrycks and Dietterich 2019 (arXiv:1903.12261)."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from expertnet.data.augment import cutout, reflected

Corruption = Callable[[Tensor, Generator], Tensor]  # of uint8 images (N, 3, S, S)

NOISE = 25.0  # standard deviation, of 255
CONTRAST, LIGHT = 0.4, 0.5  # shares that are left
BLURRED, HIDDEN = (
    32,
    3,
)  # the image's side divided by the blur's standard deviation, and by the side of the black square


def noise(images: Tensor, generator: Generator) -> Tensor:
    """Add Gaussian noise to every pixel."""
    return _pixels(images + NOISE * torch.randn(images.shape, generator=generator))


def blur(images: Tensor, generator: Generator) -> Tensor:
    """Blur by a Gaussian of at least half a pixel, cut off after three standard deviations, and reflected at the edge."""
    sigma = max(images.shape[-1] / BLURRED, 0.5)
    reach = min(max(round(3 * sigma), 1), images.shape[-1] - 1)
    kernel = torch.exp(-(torch.arange(-reach, reach + 1.0) ** 2) / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).expand(3, 1, 1, -1)
    wide = reflected(images.float(), reach)
    return _pixels(F.conv2d(F.conv2d(wide, kernel, groups=3), kernel.transpose(2, 3), groups=3))


def contrast(images: Tensor, generator: Generator) -> Tensor:
    """Move every pixel towards its image's mean."""
    mean = images.float().mean((1, 2, 3), keepdim=True)
    return _pixels(mean + CONTRAST * (images - mean))


def darkness(images: Tensor, generator: Generator) -> Tensor:
    """Take away light."""
    return _pixels(LIGHT * images)


def occlusion(images: Tensor, generator: Generator) -> Tensor:
    """Hide a black square whose center is anywhere."""
    return cutout(images, images.shape[-1] // HIDDEN, generator)


def pixelation(images: Tensor, generator: Generator) -> Tensor:
    """Average squares of 2 x 2 pixels. Of an odd side, the last pixels stay alone."""
    side = images.shape[-1]
    small = F.avg_pool2d(images.float(), 2, ceil_mode=True)
    return _pixels(small.repeat_interleave(2, 2).repeat_interleave(2, 3)[..., :side, :side])


def _pixels(values: Tensor) -> Tensor:
    return values.round().clamp(0, 255).to(torch.uint8)


CORRUPTIONS: dict[str, Corruption] = {
    each.__name__: each for each in (noise, blur, contrast, darkness, occlusion, pixelation)
}


def corrupted(name: str, images_N3SS: Tensor) -> Tensor:
    """Return damaged uint8 images, always the same ones."""
    return CORRUPTIONS[name](images_N3SS, Generator().manual_seed(0))
