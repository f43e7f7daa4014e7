"""HEIC photos are read where pillow-heif is installed, within the same limits as other images."""

import io
import struct
import sys

import numpy as np
import pytest
from PIL import Image

from expertnet.data import heic, images
from expertnet.data.images import inspect_image, read_image
from expertnet.errors import ImageError


@pytest.fixture
def photo():
    """A photo of 48x32 pixels whose left half is red, the other green."""
    heic.register_heic()
    image = Image.new("RGB", (48, 32), "green")
    image.paste("red", (0, 0, 24, 32))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter, clockwise
    buffer = io.BytesIO()
    image.save(buffer, "HEIF", quality=95, exif=exif.tobytes())
    return buffer.getvalue()


def test_a_photo_is_turned_upright_once(photo):
    pixels, size, kind = inspect_image(photo, 32)
    assert size == (32, 48) and kind == "HEIF"
    top, bottom = pixels[:, 4, 16].tolist(), pixels[:, 28, 16].tolist()
    assert np.allclose(top, (255, 0, 0), atol=12) and np.allclose(bottom, (0, 128, 0), atol=12)


def test_a_photo_may_not_be_larger_than_its_header_says(photo):
    buffer = io.BytesIO()
    Image.new("RGB", (512, 256)).save(buffer, "HEIF")
    data = bytearray(buffer.getvalue())
    size = data.index(b"ispe") + 8
    assert struct.unpack_from(">II", data, size) == (512, 256)
    struct.pack_into(">II", data, size, 16, 16)
    with pytest.raises(ImageError, match="damaged"):
        read_image(bytes(data))


def test_a_photo_of_too_many_pixels_is_refused_by_its_header(photo, monkeypatch):
    monkeypatch.setattr(images, "MAX_HEIC_PIXELS", 1_000)
    with pytest.raises(ImageError, match="million pixels"):
        read_image(photo)


def test_without_the_package_the_command_that_installs_it_is_named(photo, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    heic.register_heic.cache_clear()
    with pytest.raises(ImageError, match="HEIC.*pip install pillow-heif") as refusal:
        read_image(photo)
    assert refusal.value.kind == "format"
