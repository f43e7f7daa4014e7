"""The files of a dataset of yours: images as they were uploaded, each once and named by its content, and small copies."""

import io
import os
import secrets
from collections.abc import Iterable
from pathlib import Path

from PIL import Image
from torch import Tensor

from expertnet.data.images import inspect_image
from expertnet.data.own.contents import OwnImage
from expertnet.data.own.folders import blob
from expertnet.data.own.versions import Version
from expertnet.errors import ImageError
from expertnet.utils.files import TEMPORARY, remove_leftovers

THUMB = 96  # pixels


def read_thumb(version: Version, image: OwnImage) -> bytes:
    """Return a small JPEG of an image, b"" if its file is missing or damaged."""
    thumb = blob(version.folder, image.digest, "thumbs")
    try:
        if not thumb.is_file():
            small, *_ = inspect_image(version.read(image), THUMB)
            write_once(thumb, to_jpeg(small))
        return thumb.read_bytes()
    except (OSError, ImageError):
        return b""


def to_jpeg(image_3SS: Tensor) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image_3SS.permute(1, 2, 0).numpy()).save(file, "JPEG", quality=85)
    return file.getvalue()


def write_once(path: Path, data: bytes) -> None:
    """Write a file unless it is there. A kill leaves it whole or missing; os.sync makes it survive a power cut. Raises OSError."""
    if path.is_file() and path.stat().st_size == len(data):
        return
    for parent in (path.parent.parent, path.parent):  # never the dataset's folder: another tab may have removed it
        parent.mkdir(exist_ok=True)
    # Not in the folder itself, of which there are 256: what a kill leaves is found quickly
    temporary = path.parent.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        temporary.write_bytes(data)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def remove_others(folder: Path, kept: Iterable[str]) -> int:
    """Delete the images of a dataset's folder that are not `kept`, digests, and return the bytes that this frees."""
    kept, freed = set(kept), 0
    for kind in ("images", "thumbs"):
        remove_leftovers(folder / kind, f"*/{TEMPORARY}")  # where earlier versions wrote them
        for path in (folder / kind).glob("*/*"):
            if path.name not in kept and not path.name.startswith("."):
                freed += path.stat().st_size
                path.unlink(missing_ok=True)
    return freed
