"""Read untrusted bytes as an image and fit it into a tensor, within limits of memory. All limits on a single image are here.

All functions are thread-safe and change no global state of Pillow. The module is long because its limits depend on its steps.
"""

import io
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile
from torch import Tensor

from expertnet.data import heic
from expertnet.data.structure import keeps_coefficients, openable
from expertnet.errors import ImageError
from expertnet.utils.memory import trim_memory

MAX_BYTES = 50 * 2**20  # of a file
MAX_PIXELS = 50_000_000  # of up to 4 bytes each, however many threads decode
MAX_PROGRESSIVE_PIXELS = 30_000_000  # of a JPEG in several scans, whose coefficients the decoder keeps
MAX_HEIC_PIXELS = 25_000_000  # of a HEIC photo, whose decoder keeps two more copies; phones take up to 24.5 million
MAX_COPIED_PIXELS = 16_000_000  # of a WebP or a TIFF of large strips, whose decoders keep up to three more copies
LARGE = 4_000_000  # pixels; larger images are decoded one at a time
SMALL = 2**18  # pixels; smaller images take too little memory to count, and never wait for others
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM")  # rarer decoders never see untrusted bytes
_ENDINGS = {  # of files, by the name of their format
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "PNG": (".png",),
    "GIF": (".gif",),
    "BMP": (".bmp",),
    "WebP": (".webp",),
    "TIFF": (".tif", ".tiff"),
    "PBM": (".pbm",),
    "PGM": (".pgm",),
    "PPM": (".ppm", ".pnm"),
} | ({"HEIC": heic.SUFFIXES} if heic.READABLE else {})
READABLE_SUFFIXES = frozenset(ending for endings in _ENDINGS.values() for ending in endings)
SUFFIXES = READABLE_SUFFIXES | set(heic.SUFFIXES)  # without pillow-heif, a message says what HEIC photos need
FORMATS_TEXT = f"{', '.join(list(_ENDINGS)[:-1])} or {list(_ENDINGS)[-1]}"

STRIP = 2**17  # pixels converted at a time
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_MIRRORED_X, _MIRRORED_Y, _SIDEWAYS = (2, 3, 6, 7), (3, 4, 7, 8), (5, 6, 7, 8)  # keys of _TURNS
T = TypeVar("T")
_ORIENTATION = 0x0112  # EXIF tag; its value is a key of _TURNS


class _PixelBudget:
    """Lets threads decode at the same time as long as their images together, except small ones, have at most `limit` pixels."""

    def __init__(self, limit: int) -> None:
        self.limit, self.used, self.changed = limit, 0, threading.Condition()

    @contextmanager
    def reserve(self, pixels: int) -> Iterator[None]:
        if pixels <= SMALL:
            yield
            return
        with self.changed:
            self.changed.wait_for(lambda: self.used + pixels <= self.limit)
            self.used += pixels
        try:
            yield
        finally:
            if pixels > LARGE:
                trim_memory()
            with self.changed:
                self.used -= pixels
                self.changed.notify_all()


_budget = _PixelBudget(MAX_PIXELS)
_large_images = ThreadPoolExecutor(1, "large images")  # because each thread may keep the memory that it has freed


def read_image(data: bytes) -> Image.Image:
    """Return the first frame of an image file as 8-bit RGB, upright according to EXIF, with transparency on white.

    Raises ImageError if it is not an image, is damaged, or exceeds MAX_BYTES or MAX_PIXELS.
    """
    return _decoded(data, lambda upright: upright.whole().convert("RGB"))


def load_image(data: bytes, image_size: int) -> Tensor:
    """Return an image file fitted into (3, image_size, image_size) uint8. Raises ImageError as `read_image` does."""
    return _decoded(data, lambda upright: upright.fitted(image_size))


def inspect_image(data: bytes, image_size: int) -> tuple[Tensor, tuple[int, int], str]:
    """Return what `load_image` does, the upright image's width and height, and its format. Raises ImageError."""
    return _decoded(data, lambda upright: (upright.fitted(image_size), upright.size, upright.image.format or ""))


def load_thumbnail(data: bytes, largest: int) -> tuple[Tensor, tuple[int, int]]:
    """Return the central square, at most `largest` pixels wide and never enlarged, and the width and height of the image.

    The square is (3, S, S) uint8. Raises ImageError as `read_image` does.
    """
    return _decoded(data, lambda upright: (upright.fitted(min(largest, *upright.size)), upright.size))


def announced_pixels(data: bytes) -> int:
    """Return the number of pixels that the header of an image file announces. Raises ImageError as `read_image` does."""
    with _opened(data) as (image, _):
        return image.width * image.height


def _decoded(data: bytes, use: Callable[["_Upright"], T]) -> T:
    """Return what `use` makes of the upright image, while its memory is accounted for."""
    with _opened(data) as (image, most):
        pixels = image.width * image.height
        with _budget.reserve(pixels * MAX_PIXELS // most):
            if pixels > LARGE:
                return _large_images.submit(_use_upright, image, use).result()
            return _use_upright(image, use)


@contextmanager
def _opened(data: bytes) -> Iterator[tuple[Image.Image, int]]:
    """Yield an image of which only the header has been read, and its limit in pixels. Makes an ImageError of any other error."""
    if not data:
        raise ImageError("The file is empty. Choose an image.")
    if len(data) > MAX_BYTES:
        raise ImageError(f"The file is larger than {MAX_BYTES // 2**20} MiB. Save the image at a smaller size.", "size")
    try:
        is_heic = heic.is_heic(data)
        if is_heic:
            heic.register_heic()
        data = openable(data)
        with Image.open(io.BytesIO(data), formats=(heic.FORMAT,) if is_heic else FORMATS) as image:
            most = MAX_PROGRESSIVE_PIXELS if keeps_coefficients(data) else _most_pixels(image)
            if image.width * image.height > most:
                raise _too_large(most)
            yield image, most
    except ImageError:
        raise
    except UnidentifiedImageError:
        raise ImageError(f"The file is not an image in a supported format. Use {FORMATS_TEXT}.", "format") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _too_large(MAX_PIXELS) from None
    except MemoryError:
        raise ImageError("There is not enough memory to open the image. Make it smaller.") from None
    except Exception as error:  # Pillow raises almost any exception for damaged files
        raise ImageError("The image is damaged or truncated. Save or copy it again.") from error


def _most_pixels(image: Image.Image) -> int:
    """Return the limit of an image, which depends on what its decoder keeps beside the pixels."""
    if image.format == heic.FORMAT:
        return MAX_HEIC_PIXELS
    is_copied = image.format == "WEBP"
    if isinstance(image, TiffImageFile):  # the largest strip or tile is copied
        tags = image.tag_v2
        is_copied = tags.get(322, image.width) * tags.get(323, tags.get(278, image.height)) > MAX_COPIED_PIXELS
    return MAX_COPIED_PIXELS if is_copied else MAX_PIXELS


def _use_upright(image: Image.Image, use: Callable[["_Upright"], T]) -> T:
    try:
        image.load()
        return use(_Upright(image))
    finally:
        image.close()  # frees its pixels, which a traceback may refer to


def _too_large(most: int) -> ImageError:
    return ImageError(f"The image has more than {most // 10**6} million pixels. Make it smaller.", "size")


class _Upright:
    """A decoded image that is turned upright, put on white and made RGB or 8-bit gray in small pieces.

    A converted copy of the whole would take as much memory as the image.
    """

    def __init__(self, image: Image.Image) -> None:
        self.image, self.turn = image, _turn(image)
        self.size = image.size[::-1] if self.turn in _SIDEWAYS else image.size
        self.mode, self.convert = _conversion(image)

    def rows(self, left: int, top: int, right: int, bottom: int) -> Iterator[tuple[int, Image.Image]]:
        """Yield the rows of a part in strips, each with its first row."""
        rows = max(STRIP // (right - left), 1)
        for first in range(top, bottom, rows):
            yield first, self._part(left, first, right, min(first + rows, bottom))

    def _part(self, left: int, top: int, right: int, bottom: int) -> Image.Image:
        width, height = self.size
        if self.turn in _MIRRORED_X:
            left, right = width - right, width - left
        if self.turn in _MIRRORED_Y:
            top, bottom = height - bottom, height - top
        box = (top, left, bottom, right) if self.turn in _SIDEWAYS else (left, top, right, bottom)
        part = self.convert(_crop(self.image, box))
        return part.transpose(_TURNS[self.turn]) if self.turn in _TURNS else part

    def whole(self) -> Image.Image:
        whole = Image.new(self.mode, self.size)
        for first, strip in self.rows(0, 0, *self.size):
            whole.paste(strip, (0, first))
        return whole

    def fitted(self, image_size: int) -> Tensor:
        """Return what `fit` makes of the whole image. Values of large, tall images may differ by 1."""
        width, height = self.size
        if width * height <= STRIP:
            return fit(self._part(0, 0, width, height), image_size)
        side = min(self.size)
        left, top = (width - side) // 2, (height - side) // 2
        margin = side // image_size + 2  # pixels around the square that the filter sees
        x, y = max(left - margin, 0), max(top - margin, 0)
        right, bottom = min(left + side + margin, width), min(top + side + margin, height)
        narrow = Image.new(self.mode, (image_size, bottom - y))
        for first, strip in self.rows(x, y, right, bottom):
            size = (image_size, strip.height)
            box = (left - x, 0, left - x + side, strip.height)
            narrow.paste(strip.resize(size, Image.Resampling.BILINEAR, box=box), (0, first - y))
        return _resized(narrow, image_size, (0, top - y, image_size, top - y + side))


def _turn(image: Image.Image) -> int:
    """Return the EXIF orientation. Damaged EXIF data is ignored."""
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # EXIF data can be anything, and the pixels are fine
        return 1


def _conversion(image: Image.Image) -> tuple[str, Callable[[Image.Image], Image.Image]]:
    """Return RGB or 8-bit gray, and what converts a part of the image to it, with transparency on white."""
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):  # Pillow's conversions would clip values at 255
        low, high = _range(image)
        return "L", lambda part: _eight_bits(part, low, high, image.info.get("transparency"))
    if image.has_transparency_data:
        return "RGB", _on_white
    mode = "L" if image.mode == "L" else "RGB"
    return mode, lambda part: part.convert(mode)


def _crop(image: Image.Image, box: tuple[int, int, int, int]) -> Image.Image:
    part = image.crop(box)
    part.info = image.info  # a transparent color is only in there
    return part


def _on_white(strip: Image.Image) -> Image.Image:
    strip = strip.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", strip.size, "white"), strip).convert("RGB")


def _values(strip: Image.Image) -> np.ndarray:
    return np.nan_to_num(np.asarray(strip, dtype=np.float32))


def _range(image: Image.Image) -> tuple[float, float]:
    """The values that become 0 and 255: 0 to 65535 for 16 bits, 0 to 1 or 255 for floats, else the image's own range."""
    rows = max(STRIP // image.width, 1)
    parts = (image.crop((0, y, image.width, min(y + rows, image.height))) for y in range(0, image.height, rows))
    ranges = [(float(values.min()), float(values.max())) for values in map(_values, parts)]
    low, high = min(low for low, _ in ranges), max(high for _, high in ranges)
    usual = (1.0, 255.0) if image.mode == "F" else (65535.0,)
    if low >= 0:
        low, high = 0.0, next((limit for limit in usual if high <= limit), high)
    return low, high


def _eight_bits(strip: Image.Image, low: float, high: float, transparent: int | None) -> Image.Image:
    values = _values(strip)
    scaled = ((values - low) * (255 / max(high - low, 1e-12))).round().clip(0, 255).astype(np.uint8)
    return Image.fromarray(scaled if transparent is None else np.where(values == transparent, np.uint8(255), scaled))


def fit(image: Image.Image, image_size: int) -> Tensor:
    """Resize the largest centered square bilinearly to (3, image_size, image_size) uint8."""
    image = image if image.mode in ("RGB", "L") else image.convert("RGB")
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    # Cropping within the resize keeps extremely wide images cheap.
    return _resized(image, image_size, (left, top, left + side, top + side))


def _resized(image: Image.Image, image_size: int, box: tuple[int, int, int, int]) -> Tensor:
    square = image.resize((image_size, image_size), Image.Resampling.BILINEAR, box=box)
    square = square.convert("RGB")  # gray last, when it is small
    return torch.from_numpy(np.asarray(square).transpose(2, 0, 1).copy())
