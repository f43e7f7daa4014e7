"""Files whose parts ask for more time or memory than their pixels."""

import io
import zlib

import numpy as np
import pytest
from PIL import Image

from expertnet.data.images import load_image, read_image
from expertnet.data.structure import MAX_PARTS, MAX_SCANS, keeps_coefficients, openable
from expertnet.errors import ImageError

NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))


def encoded(kind, image=NOISE, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def last_scan(jpeg):
    return jpeg[jpeg.rindex(b"\xff\xda") : -2]


def one_scan_per_component():
    """Return a baseline JPEG in which each of the three components has a scan of its own."""
    gray = encoded("JPEG", NOISE.convert("L"))
    frame, scan = gray.index(b"\xff\xc0"), gray.index(b"\xff\xda")
    size = gray[frame + 4 : frame + 9]
    components = b"".join(bytes([number, 0x11, 0]) for number in range(3))
    head = gray[:frame] + b"\xff\xc0\x00\x11" + size + b"\x03" + components + gray[frame + 13 : scan]
    scans = [b"\xff\xda\x00\x08\x01" + bytes([number, 0, 0, 63, 0]) + gray[scan + 10 : -2] for number in range(3)]
    return head + b"".join(scans) + b"\xff\xd9"


def test_only_a_jpeg_in_one_scan_needs_no_coefficients():
    assert not keeps_coefficients(encoded("JPEG")) and not keeps_coefficients(encoded("PNG"))
    assert keeps_coefficients(encoded("JPEG", progressive=True))
    several = one_scan_per_component()
    assert keeps_coefficients(several)
    decoded = Image.open(io.BytesIO(several))
    decoded.draft("YCbCr", decoded.size)
    gray = np.asarray(read_image(encoded("JPEG", NOISE.convert("L"))))
    np.testing.assert_array_equal(np.asarray(decoded), gray)  # so these are three scans of the same picture


def test_a_jpeg_with_many_scans_is_refused():
    jpeg = encoded("JPEG", progressive=True)
    often = jpeg[:-2] + last_scan(jpeg) * MAX_SCANS + jpeg[-2:]
    assert openable(jpeg) == jpeg
    with pytest.raises(ImageError, match="unusual number of parts"):
        load_image(often, 8)


def test_what_follows_the_end_of_an_image_does_not_count():
    """Phones write films there, in which any two bytes may occur."""
    film = b"\xff\xda\x00\x08" * (MAX_SCANS * 2) + bytes(12 * MAX_PARTS)
    for data in (encoded("JPEG"), encoded("PNG")):
        assert (load_image(data + film, 8) == load_image(data, 8)).all()


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_files_of_countless_empty_parts_are_refused(kind):
    data = encoded(kind)
    chunk = b"\x00\x00\x00\x00prVt" + zlib.crc32(b"prVt").to_bytes(4)
    part, place = (b"\xff\xe5\x00\x02", 2) if kind == "JPEG" else (chunk, 33)
    few, many = (data[:place] + part * count + data[place:] for count in (100, MAX_PARTS + 1))
    assert (load_image(few, 8) == load_image(data, 8)).all()
    with pytest.raises(ImageError, match="unusual number of parts"):
        load_image(many, 8)


@pytest.mark.parametrize("number", range(10))
def test_a_comment_in_a_plain_pixmap_does_not_change_its_pixels(number):
    values = np.random.default_rng(number).integers(0, 256, (5, 4))
    plain = "P2 # made by hand\n4 5\n# 255 grays\n255\n" + " # one\n".join(map(str, values.ravel()))
    np.testing.assert_array_equal(np.asarray(read_image(plain.encode()))[..., 0], values)
    assert b"#" not in openable(plain.encode())
