"""Keys of cached images that lack files, because these could not be read just then. Another time they may be."""

import hashlib
import re
from collections.abc import Mapping

from expertnet.data import cache, heic

NO_DECODER, LOST = "the package pillow-heif is missing", "the file is lost"
_WITHOUT = "-without-"
_WITHOUT_PHOTOS = f"{_WITHOUT}heic"
_PHOTO = re.compile(r"\.(heic|heif|hif)\b", re.IGNORECASE)  # in a note on skipped files


def mark_of(unread: Mapping[str, str]) -> str:
    """Return what tells the key of images without some files, given with the reasons, from that of all; "" if none is missing."""
    if not unread:
        return ""
    if {*unread.values()} == {NO_DECODER}:
        return _WITHOUT_PHOTOS
    return _WITHOUT + hashlib.sha256(repr(sorted(unread)).encode()).hexdigest()[:8]


def unmarked(source: str) -> str:
    """Return the source of all images from the source of those without some files."""
    return source.partition(_WITHOUT)[0]


def usable_key(key: str) -> str:
    """Return the key of all images, or that of the others as long as nothing can read HEIC photos.

    Older versions cached the others under the key of all. They stay there for the runs that were trained on them.
    """
    without = cache.marked(key, _WITHOUT_PHOTOS)
    if cache.load(key) is None and cache.load(without) is not None and not heic.can_read():
        return without
    if _PHOTO.search(cache.older_note(key)) and heic.can_read():
        return cache.marked(key, "-with-heic")
    return key
