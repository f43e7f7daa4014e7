"""Untrusted bytes -> a checked RGB image -> the tensor that a network sees; every limit on a single image is here.

In this module: ImageError, read_image, fit, and the limits MAX_BYTES and MAX_PIXELS. Both functions may be called
by many threads at once, and neither changes anything that Pillow keeps for the whole process.
"""

from __future__ import annotations

import io

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from expertnet.errors import ImageError

MAX_BYTES = 50 * 2**20  # of one file
MAX_PIXELS = 64_000_000  # 192 MB as RGB; below the count from which Pillow itself warns
FORMATS = (
    "JPEG",
    "PNG",
    "GIF",
    "BMP",
    "WEBP",
    "TIFF",
    "PPM",
)  # Pillow's rarer decoders are never tried on strangers' bytes
FORMATS_TEXT = "JPEG, PNG, GIF, BMP, WebP, TIFF or PPM"
SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm")
)

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ORIENTATION = 0x0112  # the EXIF tag whose value is a key above


def read_image(data: bytes) -> Image.Image:
    """The first frame of an image file as 8-bit RGB, the way up that its camera says, what is transparent shown on white.

    Raises ImageError for what is no image, is damaged or cut off, or has more than MAX_BYTES or MAX_PIXELS.
    """
    if not data:
        raise ImageError("The file is empty; choose an image.")
    if len(data) > MAX_BYTES:
        raise ImageError(f"The file is larger than the {MAX_BYTES // 2**20} MiB allowed; save the image smaller.")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            _refuse_too_large(image.size)  # the header alone has been read so far
            image.load()
            return _rgb(_turned(image))
    except ImageError:
        raise
    except UnidentifiedImageError:
        raise ImageError(f"The file is not an image that can be read; use {FORMATS_TEXT}.") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise ImageError(_TOO_LARGE) from None
    except MemoryError:
        raise ImageError("There is not enough memory to open the image; make it smaller.") from None
    except Exception as error:  # on damaged files Pillow's decoders raise nearly every kind there is
        raise ImageError("The image is damaged or cut off; save or copy it again.") from error


_TOO_LARGE = f"The image has more than the {MAX_PIXELS // 10**6} million pixels allowed; make it smaller."


def _refuse_too_large(size: tuple[int, int]) -> None:
    if size[0] * size[1] > MAX_PIXELS:
        raise ImageError(_TOO_LARGE)


def _turned(image: Image.Image) -> Image.Image:
    """The image the way up that its EXIF orientation says; damaged EXIF data leave it as it lies."""
    try:
        turn = _TURNS.get(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # the pixels are whole, and what stands beside them may be anything
        turn = None
    return image if turn is None else image.transpose(turn)


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        image = _eight_bits(image)  # Pillow's own conversion would cut values off at 255
    if not image.has_transparency_data:
        return image.convert("RGB")
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    """Grey values of 16 bits (0 to 65535), and of 32 bits or floats (their own range), as 0 to 255."""
    values = np.nan_to_num(np.asarray(image, dtype=np.float32))
    low, high = float(values.min()), float(values.max())
    usual = (1.0, 255.0) if image.mode == "F" else (65535.0,)
    if low >= 0:
        low, high = 0.0, next((limit for limit in usual if high <= limit), high)
    values = (values - low) * (255 / max(high - low, 1e-12))
    return Image.fromarray(values.round().clip(0, 255).astype(np.uint8))


def fit(image: Image.Image, image_size: int) -> Tensor:
    """The largest square at the image's centre, bilinearly resized: (3, image_size, image_size) uint8.

    The crop comes first, within one call of the resize, so that an image a thousand times as wide as high stays cheap.
    """
    image = image if image.mode == "RGB" else image.convert("RGB")
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    square = image.resize((image_size, image_size), Image.Resampling.BILINEAR, box=(left, top, left + side, top + side))
    pixels_HW3 = torch.frombuffer(bytearray(square.tobytes()), dtype=torch.uint8).view(image_size, image_size, 3)
    return pixels_HW3.permute(2, 0, 1).contiguous()
