"""Give a drawing the sharpness and the margins of the images that a network was trained on."""

from PIL import Image, ImageOps
from torch import Tensor

from expertnet.data.images import fit, load_image, read_image

# Width of the pen, as a share of the canvas: in a digit as large as the canvas, about as thick as in Digits
PEN = 1 / 7


def load_drawing(data: bytes, image_size: int, native_size: int | None, light_on_dark: bool) -> Tensor:
    """Return an image file of ink on plain paper as (3, image_size, image_size) uint8.

    With a native size, the drawing is cropped to its ink and reduced to that many pixels, before it is enlarged as the dataset's
    images are. Raises ImageError as `load_image` does.
    """
    if native_size is None:
        return load_image(data, image_size)
    gray = read_image(data).convert("L")
    ink = gray if light_on_dark else ImageOps.invert(gray)
    left, top, right, bottom = ink.getbbox() or (0, 0, *ink.size)
    side = max(right - left, bottom - top)
    x, y = (left + right - side) // 2, (top + bottom - side) // 2
    # Beyond the edge of the drawing, crop adds black, which is paper here. The pixels of Digits are averages of squares, too.
    small = ink.crop((x, y, x + side, y + side)).resize((native_size, native_size), Image.Resampling.BOX)
    return fit(small if light_on_dark else ImageOps.invert(small), image_size)
