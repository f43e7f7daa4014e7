"""Images with noise, blur, JPEG, contrast and brightness at five strengths.

At 32 pixels, the strengths are those of CIFAR-10-C (Hendrycks and Dietterich 2019, arXiv:1903.12261). Those of ImageNet-C would leave
little of so small an image. At other sizes, the radius of the blur grows with the size, and the noise and the steps of JPEG grow
with its square root, as they do from CIFAR-10-C to ImageNet-C. Contrast and brightness do not depend on the size.
"""

import io
from collections.abc import Callable
from math import sqrt

import torch
import torchvision.transforms.v2.functional as T
from PIL import Image
from torch import Tensor
from torchvision.transforms.functional import pil_to_tensor

STRENGTHS = (1, 2, 3, 4, 5)
NOISE = (0.04, 0.06, 0.08, 0.09, 0.10)  # standard deviation, of pixels from 0 to 1
BLUR = (0.4, 0.6, 0.7, 0.8, 1.0)  # standard deviation of the Gaussian, in pixels
JPEG = (80, 65, 58, 50, 40)  # quality
CONTRAST = (0.75, 0.5, 0.4, 0.3, 0.15)  # what is left of the distance from the mean color
BRIGHTNESS = (0.05, 0.1, 0.15, 0.2, 0.3)  # added to the value in HSV
SIZE = 32  # pixels, of the images that these strengths are for


def corrupted(images_N3SS: Tensor, name: str, strength: int, seed: int = 0) -> Tensor:
    """Return uint8 images with a corruption of CORRUPTIONS at a strength from 1 to 5. `seed` is that of the noise."""
    return CORRUPTIONS[name](images_N3SS, strength - 1, seed)


def _noise(images: Tensor, place: int, seed: int) -> Tensor:
    deviation = 255 * NOISE[place] * sqrt(images.shape[-1] / SIZE)
    drawn = torch.randn(images.shape, generator=torch.Generator().manual_seed(seed))
    return _pixels(images + deviation * drawn)


def _blur(images: Tensor, place: int, seed: int) -> Tensor:
    size = images.shape[-1]
    deviation = BLUR[place] * size / SIZE
    width = min(2 * int(4 * deviation + 0.5) + 1, 2 * size - 1)  # four deviations on either side, as CIFAR-10-C
    return _pixels(T.gaussian_blur(images.float(), [width, width], [deviation, deviation]))


def _jpeg(images: Tensor, place: int, seed: int) -> Tensor:
    quality = jpeg_quality(JPEG[place], images.shape[-1])
    return torch.stack([_through_jpeg(image, quality) for image in images])


def jpeg_quality(quality: int, size: int) -> int:
    """Return the quality whose quantization steps are sqrt(size / 32) times those of `quality`."""
    percent = (5000 / quality if quality < 50 else 200 - 2 * quality) * sqrt(size / SIZE)  # as libjpeg scales its steps
    return round(5000 / percent if percent > 100 else (200 - percent) / 2)


def _through_jpeg(image_3SS: Tensor, quality: int) -> Tensor:
    file = io.BytesIO()
    Image.fromarray(image_3SS.permute(1, 2, 0).contiguous().numpy()).save(file, "JPEG", quality=quality)
    return pil_to_tensor(Image.open(file))


def _contrast(images: Tensor, place: int, seed: int) -> Tensor:
    mean = images.float().mean((2, 3), keepdim=True)
    return _pixels((images - mean) * CONTRAST[place] + mean)


def _brightness(images: Tensor, place: int, seed: int) -> Tensor:
    """Add to the value of HSV, the largest channel. Hue and saturation stay, so all channels grow in proportion."""
    value = images.amax(1, keepdim=True).float()
    brighter = (value + 255 * BRIGHTNESS[place]).clamp_max(255)
    return _pixels(torch.where(value > 0, images * (brighter / value.clamp_min(1)), brighter))


def _pixels(values: Tensor) -> Tensor:
    return values.clamp(0, 255).to(torch.uint8)  # rounds down, as CIFAR-10-C does


CORRUPTIONS: dict[str, Callable[[Tensor, int, int], Tensor]] = {
    "noise": _noise,
    "blur": _blur,
    "JPEG": _jpeg,
    "contrast": _contrast,
    "brightness": _brightness,
}
