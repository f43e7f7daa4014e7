"""Read untrusted bytes as a checked RGB image, and turn it into a tensor. All limits on a single image are here.

All functions are thread-safe and change no global state of Pillow.
"""

from __future__ import annotations

import io

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from expertnet.errors import ImageError

MAX_BYTES = 50 * 2**20  # of a file
MAX_PIXELS = 64_000_000  # 192 MB as RGB; Pillow itself warns above 89 million
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM")  # rarer decoders never see untrusted bytes
FORMATS_TEXT = "JPEG, PNG, GIF, BMP, WebP, TIFF or PPM"
SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm")
)

_TOO_LARGE = f"The image has more than {MAX_PIXELS // 10**6} million pixels. Make it smaller."
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ORIENTATION = 0x0112  # EXIF tag; its value is a key of _TURNS


def read_image(data: bytes) -> Image.Image:
    """Return the first frame of an image file as 8-bit RGB, upright according to EXIF, with transparency on white.

    Raises ImageError if it is not an image, is damaged, or exceeds MAX_BYTES or MAX_PIXELS.
    """
    if not data:
        raise ImageError("The file is empty. Choose an image.")
    if len(data) > MAX_BYTES:
        raise ImageError(f"The file is larger than {MAX_BYTES // 2**20} MiB. Save the image at a smaller size.")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:  # only the header has been read
                raise ImageError(_TOO_LARGE)
            image.load()
            return _rgb(_turned(image))
    except ImageError:
        raise
    except UnidentifiedImageError:
        raise ImageError(f"The file is not an image in a supported format. Use {FORMATS_TEXT}.") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise ImageError(_TOO_LARGE) from None
    except MemoryError:
        raise ImageError("There is not enough memory to open the image. Make it smaller.") from None
    except Exception as error:  # Pillow raises almost any exception for damaged files
        raise ImageError("The image is damaged or truncated. Save or copy it again.") from error


def _turned(image: Image.Image) -> Image.Image:
    """Turn an image upright according to EXIF. Damaged EXIF data is ignored."""
    try:
        turn = _TURNS.get(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # EXIF data can be anything, and the pixels are fine
        turn = None
    return image if turn is None else image.transpose(turn)


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        image = _eight_bits(image)  # Pillow's conversion would clip values at 255
    if not image.has_transparency_data:
        return image.convert("RGB")
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    """Scale greyscale values to 0 to 255: from 0 to 65535 for 16 bits, from 0 to 1 or 255 for floats, else from their range."""
    values = np.nan_to_num(np.asarray(image, dtype=np.float32))
    low, high = float(values.min()), float(values.max())
    usual = (1.0, 255.0) if image.mode == "F" else (65535.0,)
    if low >= 0:
        low, high = 0.0, next((limit for limit in usual if high <= limit), high)
    values = (values - low) * (255 / max(high - low, 1e-12))
    return Image.fromarray(values.round().clip(0, 255).astype(np.uint8))


def load_image(data: bytes, image_size: int) -> Tensor:
    """Return the bytes of an image file as a (3, image_size, image_size) uint8 tensor. Raises ImageError as `read_image` does."""
    return fit(read_image(data), image_size)


def fit(image: Image.Image, image_size: int) -> Tensor:
    """Resize the largest centred square bilinearly to (3, image_size, image_size) uint8."""
    image = image if image.mode == "RGB" else image.convert("RGB")
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    # Cropping within the resize keeps extremely wide images cheap.
    square = image.resize((image_size, image_size), Image.Resampling.BILINEAR, box=(left, top, left + side, top + side))
    pixels_HW3 = torch.frombuffer(bytearray(square.tobytes()), dtype=torch.uint8).view(image_size, image_size, 3)
    return pixels_HW3.permute(2, 0, 1).contiguous()
