"""Small images that are told apart by their gray level."""

import io

from PIL import Image

from expertnet.settings.schema import DataSettings


def image(value, size=8):
    buffer = io.BytesIO()
    Image.new("RGB", (size, size), (value, 255 - value, 7)).save(buffer, "PNG")
    return buffer.getvalue()


def settings(dataset, **values):
    return DataSettings(dataset=str(dataset), **{"image_size": 8, **values})


def shown(split):
    """Return the gray levels of a split's images, sorted."""
    return sorted(split.images[:, 0, 0, 0].tolist())
