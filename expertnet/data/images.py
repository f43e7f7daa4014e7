"""Untrusted bytes -> a checked RGB picture -> the tensor that a network sees; every limit on a single picture is here.

In this module: ImageError, read_picture, fit, and the limits MAX_BYTES and MAX_PIXELS. Both functions may be called
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


def read_picture(data: bytes) -> Image.Image:
    """The first frame of a picture file as 8-bit RGB, the way up that its camera says, what is transparent shown on white.

    Raises ImageError for what is no picture, is damaged or cut off, or has more than MAX_BYTES or MAX_PIXELS.
    """
    if not data:
        raise ImageError("The file is empty; choose a picture.")
    if len(data) > MAX_BYTES:
        raise ImageError(f"The file is larger than the {MAX_BYTES // 2**20} MiB allowed; save the picture smaller.")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
            _refuse_too_large(picture.size)  # the header alone has been read so far
            picture.load()
            return _rgb(_turned(picture))
    except ImageError:
        raise
    except UnidentifiedImageError:
        raise ImageError(f"The file is not a picture that can be read; use {FORMATS_TEXT}.") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise ImageError(_TOO_LARGE) from None
    except MemoryError:
        raise ImageError("There is not enough memory to open the picture; make it smaller.") from None
    except Exception as error:  # on damaged files Pillow's decoders raise nearly every kind there is
        raise ImageError("The picture is damaged or cut off; save or copy it again.") from error


_TOO_LARGE = f"The picture has more than the {MAX_PIXELS // 10**6} million pixels allowed; make it smaller."


def _refuse_too_large(size: tuple[int, int]) -> None:
    if size[0] * size[1] > MAX_PIXELS:
        raise ImageError(_TOO_LARGE)


def _turned(picture: Image.Image) -> Image.Image:
    """The picture the way up that its EXIF orientation says; damaged EXIF data leave it as it lies."""
    try:
        turn = _TURNS.get(picture.getexif().get(_ORIENTATION, 1))
    except Exception:  # the pixels are whole, and what stands beside them may be anything
        turn = None
    return picture if turn is None else picture.transpose(turn)


def _rgb(picture: Image.Image) -> Image.Image:
    if picture.mode in ("I", "F") or picture.mode.startswith("I;16"):
        picture = _eight_bits(picture)  # Pillow's own conversion would cut values off at 255
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    picture = picture.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")


def _eight_bits(picture: Image.Image) -> Image.Image:
    """Grey values of 16 bits (0 to 65535), and of 32 bits or floats (their own range), as 0 to 255."""
    values = np.nan_to_num(np.asarray(picture, dtype=np.float32))
    low, high = float(values.min()), float(values.max())
    usual = (1.0, 255.0) if picture.mode == "F" else (65535.0,)
    if low >= 0:
        low, high = 0.0, next((limit for limit in usual if high <= limit), high)
    values = (values - low) * (255 / max(high - low, 1e-12))
    return Image.fromarray(values.round().clip(0, 255).astype(np.uint8))


def fit(picture: Image.Image, image_size: int) -> Tensor:
    """The largest square at the picture's centre, bilinearly resized: (3, image_size, image_size) uint8.

    The crop comes first, within one call of the resize, so that a picture a thousand times as wide as high stays cheap.
    """
    picture = picture if picture.mode == "RGB" else picture.convert("RGB")
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    square = picture.resize(
        (image_size, image_size), Image.Resampling.BILINEAR, box=(left, top, left + side, top + side)
    )
    pixels_HW3 = torch.frombuffer(bytearray(square.tobytes()), dtype=torch.uint8).view(image_size, image_size, 3)
    return pixels_HW3.permute(2, 0, 1).contiguous()
