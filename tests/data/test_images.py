"""Untrusted bytes become a checked RGB image or an error. The module is long because all limits on an image are tried here."""

import io
import re
import struct
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence
from PIL.PngImagePlugin import PngImageFile

from expertnet.data import heic, images
from expertnet.data.images import FORMATS, FORMATS_TEXT, READABLE_SUFFIXES, fit, load_image, read_image
from expertnet.errors import ImageError
from tests.support.small import LIMIT


def encoded(image, kind="PNG", **options):
    if kind == heic.FORMAT:
        heic.register_heic()  # which can write it, too
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def corner(data):
    """Return the first pixel of an image file."""
    return read_image(data).getpixel((0, 0))


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM", "GIF", "WEBP", "JPEG", "HEIF"])
def test_every_common_format_is_read_as_rgb(kind):
    options = {"WEBP": {"lossless": True}, "JPEG": {"quality": 100, "subsampling": 0}}.get(kind, {})
    image = read_image(encoded(Image.new("RGB", (6, 4), (200, 40, 90)), kind, **options))
    assert image.mode == "RGB"
    assert image.size == (6, 4)
    assert np.allclose(image.getpixel((2, 2)), (200, 40, 90), atol=3)


def test_the_files_that_are_asked_for_are_of_the_formats_that_are_read_and_named():
    Image.init()
    heic.register_heic()
    registered = Image.registered_extensions()
    assert {registered[ending] for ending in READABLE_SUFFIXES} == {*FORMATS, heic.FORMAT}
    named = re.split(", | or ", FORMATS_TEXT)
    assert {registered[f".{name.lower()}"] for name in named} == {*FORMATS, heic.FORMAT}


def test_gray_and_black_and_white_become_three_equal_channels():
    assert corner(encoded(Image.new("L", (3, 3), 77))) == (77, 77, 77)
    assert corner(encoded(Image.new("1", (3, 3), 1))) == (255, 255, 255)


@pytest.mark.parametrize(("kind", "mode"), [("PNG", "I;16"), ("TIFF", "I;16"), ("TIFF", "I;16B"), ("PPM", "I;16")])
def test_sixteen_bits_are_scaled_not_clipped(kind, mode):
    values = np.array([[0, 257 * 100, 65535, 300]], dtype=np.uint16)
    image = Image.fromarray(values)
    if mode == "I;16B":
        image = Image.frombytes("I;16B", (4, 1), values.astype(">u2").tobytes())
    read = np.asarray(read_image(encoded(image, kind)))[0, :, 0]
    assert read.tolist() == [0, 100, 255, 1]


def test_floating_point_grays_from_zero_to_one_fill_the_range():
    read = read_image(encoded(Image.fromarray(np.array([[0.0, 0.5, 1.0]], dtype=np.float32)), "TIFF"))
    assert np.asarray(read)[0, :, 0].tolist() == [0, 128, 255]


def test_integers_beyond_sixteen_bits_and_below_zero_use_their_own_range():
    read = read_image(encoded(Image.fromarray(np.array([[-1000, 0, 100_000]], dtype=np.int32)), "TIFF"))
    values = np.asarray(read)[0, :, 0].tolist()
    assert values[0] == 0
    assert values[2] == 255
    assert values[1] == pytest.approx(255 * 1000 / 101_000, abs=1)


def test_cmyk_is_read_in_its_colors():
    red, green, blue = corner(encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=100))
    assert red > 240
    assert green < 15
    assert blue < 15


def test_transparency_is_shown_on_white():
    half = encoded(Image.new("RGBA", (2, 2), (0, 0, 0, 128)))
    assert corner(half) == pytest.approx((127, 127, 127), abs=1)
    assert corner(encoded(Image.new("LA", (2, 2), (10, 0)))) == (255, 255, 255)
    palette = Image.new("P", (2, 2), 0)
    palette.putpalette([10, 20, 30, 200, 100, 50])
    palette.putpixel((1, 1), 1)
    assert corner(encoded(palette)) == (10, 20, 30)
    assert corner(encoded(palette, transparency=0)) == (255, 255, 255)
    assert corner(encoded(Image.new("RGB", (2, 2), (1, 2, 3)), transparency=(1, 2, 3))) == (255, 255, 255)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_exif_orientation_turns_the_image_upright(orientation, kind):
    upright = Image.fromarray(np.arange(12, dtype=np.uint8).reshape(2, 2, 3) * 20)
    upright = Image.fromarray(np.concatenate([np.asarray(upright)] * 2 + [255 - np.asarray(upright)], axis=1))
    turn = Image.Transpose
    stored = {
        2: turn.FLIP_LEFT_RIGHT,
        3: turn.ROTATE_180,
        4: turn.FLIP_TOP_BOTTOM,
        5: turn.TRANSPOSE,
        6: turn.ROTATE_90,
        7: turn.TRANSVERSE,
        8: turn.ROTATE_270,
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    lying = upright.transpose(stored[orientation]) if orientation > 1 else upright
    assert np.array_equal(np.asarray(read_image(encoded(lying, kind, exif=exif))), np.asarray(upright))


@pytest.mark.filterwarnings("ignore")  # Pillow warns of the damage
def test_damaged_exif_data_is_ignored():
    good = encoded(Image.new("RGB", (8, 8), (200, 200, 200)), "JPEG", quality=95)
    block = b"Exif\0\0MM\0*\xff\xff\xff\xff"
    bad = good[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + good[2:]
    assert corner(bad) == pytest.approx((200, 200, 200), abs=3)


def test_the_first_frame_of_an_animation_is_read():
    frames = [Image.new("RGB", (5, 5), color) for color in ("red", "blue", "lime")]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=10)
    assert len(list(ImageSequence.Iterator(Image.open(io.BytesIO(data))))) == 3
    assert corner(data) == (255, 0, 0)


def test_other_files_are_rejected():
    for data in (
        b"",
        b"not an image at all",
        b"%PDF-1.7 ...",
        b"\x00" * 1000,
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    ):
        with pytest.raises(ImageError) as refusal:
            read_image(data)
        assert str(refusal.value).count(". ") == 1  # what is wrong, and what to do


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "TIFF", "WEBP", "BMP", "HEIF"])
def test_a_truncated_image_is_rejected_at_every_length(kind):
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    data = encoded(Image.fromarray(noise), kind)
    for share in (0.1, 0.3, 0.5, 0.7, 0.9):
        with pytest.raises(ImageError, match=r"damaged|not an image"):
            read_image(data[: int(len(data) * share)])


def test_random_damage_gives_an_image_or_an_error():
    generator = np.random.default_rng(1)
    noise = Image.fromarray(generator.integers(0, 256, (24, 24, 3), dtype=np.uint8))
    for kind in ("JPEG", "PNG", "GIF", "TIFF", "WEBP", "BMP", "PPM", "HEIF"):
        data = bytearray(encoded(noise, kind))
        for _ in range(60):
            hurt = bytearray(data)
            for place in generator.integers(0, len(hurt), 5):
                hurt[place] = generator.integers(0, 256)
            try:
                mode = read_image(bytes(hurt)).mode
            except ImageError:
                mode = "RGB"
            assert mode == "RGB"


def bomb(side):
    """Return a small, valid PNG that claims side x side pixels."""

    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    rows = zlib.compress(b"\0" * ((side // 8 + 1) * 64))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [8_100, 10_000, 20_000, 60_000])
def test_decompression_bombs_are_rejected_by_their_header(side):
    with pytest.raises(ImageError, match="million pixels"):
        read_image(bomb(side))


@pytest.mark.slow
@pytest.mark.parametrize(("side", "together"), [(2000, 12), (2001, 1)])
def test_at_most_fifty_million_pixels_and_one_large_image_are_decoded_at_once(monkeypatch, side, together):
    changed, inside, most = threading.Condition(), 0, 0
    load = PngImageFile.load

    def counted(image):
        nonlocal inside, most
        with changed:
            inside += 1
            most = max(most, inside)
            changed.notify_all()
            changed.wait_for(lambda: most > together, timeout=0.05)  # one too many comes in by then if it may
        try:
            return load(image)
        finally:
            with changed:
                inside -= 1

    monkeypatch.setattr(PngImageFile, "load", counted)
    data = encoded(Image.new("L", (side, side)), "PNG")
    count = together + 1
    with ThreadPoolExecutor(count) as threads:
        assert all(tensor.shape == (3, 8, 8) for tensor in threads.map(load_image, [data] * count, [8] * count))
    assert 0 < most <= together


@pytest.mark.slow
def test_small_images_do_not_wait_for_one_of_fifty_million_pixels(monkeypatch):
    begun, free, load = threading.Event(), threading.Event(), PngImageFile.load

    def held(image):
        if image.width > 5000:
            begun.set()
            assert free.wait(LIMIT)
        return load(image)

    monkeypatch.setattr(PngImageFile, "load", held)
    large, small = (encoded(Image.new("1", (side, side)), "PNG") for side in (7071, 40))
    with ThreadPoolExecutor(2) as threads:
        waiting = threads.submit(load_image, large, 8)
        assert begun.wait(LIMIT)
        try:
            assert threads.submit(load_image, small, 8).result(LIMIT).shape == (3, 8, 8)
        finally:
            free.set()
        waiting.result(LIMIT)


def test_a_file_over_the_limit_is_rejected_unread(monkeypatch):
    monkeypatch.setattr(images, "MAX_BYTES", 100)
    with pytest.raises(ImageError, match="larger than"):
        read_image(b"\0" * 101)


def test_pillows_limits_are_unchanged():
    before = Image.MAX_IMAGE_PIXELS
    read_image(encoded(Image.new("RGB", (2, 2))))
    assert before == Image.MAX_IMAGE_PIXELS


def test_fit_leaves_an_image_of_the_right_size_unchanged():
    values = np.random.default_rng(2).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    fitted = fit(Image.fromarray(values), 16)
    assert fitted.dtype == torch.uint8
    assert fitted.is_contiguous()
    assert np.array_equal(fitted.permute(1, 2, 0).numpy(), values)


@pytest.mark.parametrize("size", [(90, 30), (30, 90)])
def test_fit_crops_the_center(size):
    values = np.zeros((size[1], size[0], 3), dtype=np.uint8)
    middle = [slice((length - 30) // 2, (length + 30) // 2) for length in values.shape[:2]]
    values[middle[0], middle[1]] = (10, 100, 200)
    fitted = fit(Image.fromarray(values), 8)
    assert fitted.shape == (3, 8, 8)
    inner = fitted[:, 1:-1, 1:-1]  # border pixels mix with their neighbors
    assert all((inner[channel] == color).all() for channel, color in enumerate((10, 100, 200)))


def test_fit_averages_when_it_shrinks():
    stripes = np.zeros((64, 64, 3), dtype=np.uint8)
    stripes[:, ::2] = 255
    fitted = fit(Image.fromarray(stripes), 8).float()
    assert (fitted - 127.5).abs().max() < 8


def test_fit_of_a_line_stays_small():
    assert fit(Image.new("RGB", (60_000, 1), (9, 9, 9)), 128).shape == (3, 128, 128)


@pytest.mark.slow
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("size", [(300, 200), (900, 7), (7, 900), (64, 64)])
@pytest.mark.parametrize(
    ("mode", "kind"), [("RGB", "PNG"), ("RGBA", "PNG"), ("L", "PNG"), ("I;16", "PNG"), ("F", "TIFF")]
)
def test_an_image_that_is_read_in_strips_is_that_read_as_a_whole(monkeypatch, orientation, size, mode, kind):
    monkeypatch.setattr(images, "STRIP", 1000)
    random = np.random.default_rng(orientation)
    if mode in ("RGB", "RGBA", "L"):
        image = Image.fromarray(random.integers(0, 256, (size[1], size[0], 4), dtype=np.uint8)).convert(mode)
    else:
        gray = random.random((size[1], size[0]))
        image = Image.fromarray(gray.astype(np.float32) if mode == "F" else (gray * 65535).astype(np.uint16))
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(image, kind, exif=exif)
    difference = load_image(data, 16).int() - fit(read_image(data), 16).int()
    assert difference.abs().max() <= 1 and (difference != 0).float().mean() < 0.5
