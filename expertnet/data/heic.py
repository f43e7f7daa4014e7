"""Photos in HEIC, as many phones save them. Reading them needs the optional package pillow-heif."""

from functools import cache
from importlib.util import find_spec

from expertnet.errors import ImageError
from expertnet.utils.home import install_command

FORMAT = "HEIF"  # as Pillow calls it
SUFFIXES = (".heic", ".heif", ".hif")
READABLE = find_spec("pillow_heif") is not None
_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1")


def is_heic(data: bytes) -> bool:
    """Return whether a file says that it is one."""
    return data[4:8] == b"ftyp" and data[8:12] in _BRANDS


def can_read() -> bool:
    """Return whether pillow-heif is installed."""
    try:
        register_heic()
    except ImageError:
        return False
    return True


@cache
def register_heic() -> None:
    """Teach Pillow to read HEIC, where it is asked for `FORMAT`. Raises ImageError without pillow-heif.

    The decoder refuses an image that is larger than its header says.
    """
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        raise ImageError(
            f"The image is a HEIC photo. Run '{install_command('pillow-heif')}' and restart this program, or save the image as JPEG.",
            "format",
        ) from None
    register_heif_opener(thumbnails=False, depth_images=False, aux_images=False, decode_threads=1)
