"""Keys of cached images that lack files, because these could not be read just then. Another time they may be."""

import hashlib
import re
from collections.abc import Callable, Mapping

from expertnet.data import cache, heic

NO_DECODER, LOST = "the package pillow-heif is missing", "the file is lost"
_WITHOUT = "-without-"
_WITHOUT_PHOTOS = f"{_WITHOUT}heic"
_PHOTO = re.compile(r"\.(heic|heif|hif)\b", re.IGNORECASE)  # in a note on skipped files


def mark_of(unread: Mapping[str, str]) -> tuple[str, list[str]]:
    """Return what tells the key of images without some files, given with the reasons, from that of all; "" if none is missing.

    Also return the files by which `usable_key` sees whether these images are still all that can be read.
    """
    if not unread:
        return "", []
    if {*unread.values()} == {NO_DECODER}:
        return _WITHOUT_PHOTOS, []
    files = [] if NO_DECODER in unread.values() else sorted(unread)
    return _WITHOUT + hashlib.sha256(repr(sorted(unread)).encode()).hexdigest()[:8], files


def unmarked(source: str) -> str:
    """Return the source of all images without what tells it from that of some of them."""
    return source.partition("-with")[0]


def usable_key(key: str, any_readable: Callable[[list[str]], bool]) -> str:
    """Return the key of the images that can be read, given the key of all and whether any of some files can be read.

    It is that of all if they are cached, or if none are. Older versions cached images without HEIC photos under the key of all; they
    stay there for the runs that were trained on them.
    """
    if cache.load(key) is not None:
        older = _PHOTO.search(cache.older_note(key)) and heic.can_read()
        return cache.marked(key, "-with-heic") if older else key
    without = cache.marked(key, _WITHOUT_PHOTOS)
    if cache.load(without) is not None and not heic.can_read():
        return without
    parts = ((other, cache.unread_files(other)) for other in cache.keys(cache.marked(key, f"{_WITHOUT}*")))
    return next((other for other, files in parts if files and not any_readable(files)), key)
