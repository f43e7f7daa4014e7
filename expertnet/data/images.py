"""Read untrusted bytes as an image and fit it into a tensor, within limits of memory. All limits on a single image are here.

All functions are thread-safe and change no global state of Pillow.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from expertnet.errors import ImageError

MAX_BYTES = 50 * 2**20  # of a file
MAX_PIXELS = 50_000_000  # 4 bytes each as decoded and as RGB: under 400 MiB, however many threads decode
MAX_WEBP_PIXELS = 24_000_000  # whose decoder keeps four copies
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM")  # rarer decoders never see untrusted bytes
FORMATS_TEXT = "JPEG, PNG, GIF, BMP, WebP, TIFF or PPM"
SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm")
)

_STRIP = 2**17  # pixels converted at a time
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
T = TypeVar("T")
_ORIENTATION = 0x0112  # EXIF tag; its value is a key of _TURNS


class _PixelBudget:
    """Lets threads decode at the same time as long as their images together have at most `limit` pixels."""

    def __init__(self, limit: int) -> None:
        self.limit, self.used, self.changed = limit, 0, threading.Condition()

    @contextmanager
    def reserve(self, pixels: int) -> Iterator[None]:
        with self.changed:
            self.changed.wait_for(lambda: self.used + pixels <= self.limit)
            self.used += pixels
        try:
            yield
        finally:
            with self.changed:
                self.used -= pixels
                self.changed.notify_all()


_budget = _PixelBudget(MAX_PIXELS)


def read_image(data: bytes) -> Image.Image:
    """Return the first frame of an image file as 8-bit RGB, upright according to EXIF, with transparency on white.

    Raises ImageError if it is not an image, is damaged, or exceeds MAX_BYTES or MAX_PIXELS.
    """
    return _decoded(data, lambda image: image.convert("RGB"))


def load_image(data: bytes, image_size: int) -> Tensor:
    """Return an image file fitted into (3, image_size, image_size) uint8. Raises ImageError as `read_image` does."""
    return _decoded(data, lambda image: fit(image, image_size))


def _decoded(data: bytes, use: Callable[[Image.Image], T]) -> T:
    """Return what `use` makes of the upright RGB or grayscale image, while its memory is accounted for."""
    if not data:
        raise ImageError("The file is empty. Choose an image.")
    if len(data) > MAX_BYTES:
        raise ImageError(f"The file is larger than {MAX_BYTES // 2**20} MiB. Save the image at a smaller size.")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:  # reads only the header
            most = MAX_WEBP_PIXELS if image.format == "WEBP" else MAX_PIXELS
            pixels = image.width * image.height
            if pixels > most:
                raise _too_large(most)
            with _budget.reserve(pixels * MAX_PIXELS // most):
                image.load()
                turn = _turn(image)
                plain = _plain(image)
                if plain is not image:
                    image.close()  # frees its pixels
                return use(plain if turn is None else plain.transpose(turn))
    except ImageError:
        raise
    except UnidentifiedImageError:
        raise ImageError(f"The file is not an image in a supported format. Use {FORMATS_TEXT}.") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _too_large(MAX_PIXELS) from None
    except MemoryError:
        raise ImageError("There is not enough memory to open the image. Make it smaller.") from None
    except Exception as error:  # Pillow raises almost any exception for damaged files
        raise ImageError("The image is damaged or truncated. Save or copy it again.") from error


def _too_large(most: int) -> ImageError:
    return ImageError(f"The image has more than {most // 10**6} million pixels. Make it smaller.")


def _turn(image: Image.Image) -> Image.Transpose | None:
    """Return what turns an image upright according to EXIF. Damaged EXIF data is ignored."""
    try:
        return _TURNS.get(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # EXIF data can be anything, and the pixels are fine
        return None


def _plain(image: Image.Image) -> Image.Image:
    """Convert any mode to RGB or 8-bit grayscale, with transparency on white, in strips that keep the peak of memory low."""
    if image.mode in ("RGB", "L"):
        return image if not image.has_transparency_data else _in_strips(image, "RGB", _on_white)
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):  # Pillow's conversion would clip values at 255
        low, high = _range(image)
        return _in_strips(image, "L", lambda strip: _eight_bits(strip, low, high))
    return _in_strips(image, "RGB", _on_white if image.has_transparency_data else lambda strip: strip.convert("RGB"))


def _in_strips(image: Image.Image, mode: str, convert: Callable[[Image.Image], Image.Image]) -> Image.Image:
    converted = Image.new(mode, image.size)
    for top, strip in _strips(image):
        converted.paste(convert(strip), (0, top))
    return converted


def _strips(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    rows = max(_STRIP // image.width, 1)
    for top in range(0, image.height, rows):
        strip = image.crop((0, top, image.width, min(top + rows, image.height)))
        strip.info = image.info  # a transparent color is only in there
        yield top, strip


def _on_white(strip: Image.Image) -> Image.Image:
    strip = strip.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", strip.size, "white"), strip).convert("RGB")


def _values(strip: Image.Image) -> np.ndarray:
    return np.nan_to_num(np.asarray(strip, dtype=np.float32))


def _range(image: Image.Image) -> tuple[float, float]:
    """The values that become 0 and 255: 0 to 65535 for 16 bits, 0 to 1 or 255 for floats, else the image's own range."""
    ranges = [(float(values.min()), float(values.max())) for values in (_values(strip) for _, strip in _strips(image))]
    low, high = min(low for low, _ in ranges), max(high for _, high in ranges)
    usual = (1.0, 255.0) if image.mode == "F" else (65535.0,)
    if low >= 0:
        low, high = 0.0, next((limit for limit in usual if high <= limit), high)
    return low, high


def _eight_bits(strip: Image.Image, low: float, high: float) -> Image.Image:
    values = (_values(strip) - low) * (255 / max(high - low, 1e-12))
    return Image.fromarray(values.round().clip(0, 255).astype(np.uint8))


def fit(image: Image.Image, image_size: int) -> Tensor:
    """Resize the largest centered square bilinearly to (3, image_size, image_size) uint8."""
    image = image if image.mode in ("RGB", "L") else image.convert("RGB")
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    # Cropping within the resize keeps extremely wide images cheap.
    square = image.resize((image_size, image_size), Image.Resampling.BILINEAR, box=(left, top, left + side, top + side))
    square = square.convert("RGB")  # gray last, when it is small
    pixels_HW3 = torch.frombuffer(bytearray(square.tobytes()), dtype=torch.uint8).view(image_size, image_size, 3)
    return pixels_HW3.permute(2, 0, 1).contiguous()
