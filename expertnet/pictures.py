"""Untrusted bytes -> a checked RGB picture. Every limit on uploaded pictures lives here.

In this module: PictureError, read_picture, fit.
"""

from __future__ import annotations

import io
import warnings

import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

MAX_BYTES = 32 * 2**20  # of one file
MAX_PIXELS = 40_000_000  # of one picture, before it is resized
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM")


class PictureError(ValueError):
    """Bytes that give no picture; the text is one sentence."""


def read_picture(data: bytes) -> Image.Image:
    """The picture in a file's bytes, as RGB, turned as its EXIF says; of an animation the first frame.

    Transparent parts are laid over white, 16-bit greys are scaled to 8 bits. Raises PictureError for anything else.
    """
    if len(data) > MAX_BYTES:
        raise PictureError(f"The file is larger than {MAX_BYTES // 2**20} MiB; give a smaller picture.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what Pillow only warns of is either refused below or harmless
            with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
                if picture.width * picture.height > MAX_PIXELS:
                    raise PictureError(
                        f"The picture has {picture.width} x {picture.height} pixels, more than the {MAX_PIXELS // 10**6} "
                        "million allowed; make it smaller."
                    )
                picture.load()
                return _to_rgb(ImageOps.exif_transpose(picture))
    except PictureError:
        raise
    except UnidentifiedImageError:
        raise PictureError(f"The file is not a picture that can be read; use one of {', '.join(FORMATS)}.") from None
    except Image.DecompressionBombError:
        raise PictureError(
            f"The picture has more than the {MAX_PIXELS // 10**6} million pixels allowed; make it smaller."
        ) from None
    except Exception as error:  # decoders raise many types for damaged files
        raise PictureError(f"The picture is damaged or cut off ({type(error).__name__}); save it again.") from error


def _to_rgb(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I;16") or picture.mode in ("I", "F"):
        values = picture.convert("F")
        low, high = values.getextrema()  # type: ignore[misc]
        top = 255.0 if low >= 0 and high <= 255 and picture.mode != "I;16" else 65535.0  # type: ignore[operator]
        return values.point(lambda value: value * (255.0 / top) + 0).convert("L").convert("RGB")
    if picture.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in picture.info:
        rgba = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    return picture.convert("RGB")


def fit(picture: Image.Image, image_size: int) -> Tensor:
    """An RGB picture -> uint8 (3, S, S): shorter side resized to S, centre cropped; the same in training and prediction."""
    scale = image_size / min(picture.size)
    if scale != 1:
        size = (max(round(picture.width * scale), image_size), max(round(picture.height * scale), image_size))
        # a long, thin picture is cropped before it is enlarged, so that it stays small in memory
        picture = (
            ImageOps.fit(picture, (image_size, image_size), Image.Resampling.BILINEAR)
            if max(size) > 4096
            else picture.resize(size, Image.Resampling.BILINEAR)
        )
    left, top = (picture.width - image_size) // 2, (picture.height - image_size) // 2
    picture = picture.crop((left, top, left + image_size, top + image_size))
    pixels = torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8)
    return pixels.reshape(image_size, image_size, 3).permute(2, 0, 1).contiguous()
