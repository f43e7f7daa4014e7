"""Images as PNG data URLs: the form in which a browser sends a drawing and takes small images."""

import base64
import io

from PIL import Image
from torch import Tensor

from expertnet.data.images import MAX_BYTES
from expertnet.errors import ImageError

START = "data:image/png;base64,"


def from_data_url(url: object) -> bytes:
    """Return the bytes in a PNG data URL that a browser sent. Raises ImageError if it is none, or is too large."""
    unreadable = ImageError("The image that the browser sent could not be read. Draw or paste it again.")
    if not isinstance(url, str) or not url.startswith(START) or len(url) > MAX_BYTES * 4 / 3:
        raise unreadable
    try:
        return base64.b64decode(url.removeprefix(START), validate=True)
    except ValueError:
        raise unreadable from None


def to_data_url(image_3SS: Tensor) -> str:
    """Return a uint8 image as a PNG data URL."""
    file = io.BytesIO()
    Image.fromarray(image_3SS.permute(1, 2, 0).contiguous().numpy()).save(file, "PNG")
    return START + base64.b64encode(file.getvalue()).decode()
