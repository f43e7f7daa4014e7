"""Open zip files from untrusted sources without letting their listing fill the memory."""

import os
import zipfile
from typing import IO

_END, _LARGE_END, _LARGE_LOCATOR, _ENTRY = b"PK\5\6", b"PK\6\6", b"PK\6\7", b"PK\1\2"
_MOST_PER_ENTRY = 46 + 200  # bytes on average: the fixed part, a name and an extra field


class TooManyFilesError(Exception):
    """The zip lists more files than allowed."""


def open_zip(file: IO[bytes], most_files: int) -> zipfile.ZipFile:
    """Open a zip that lists at most `most_files` files. The listing is counted before zipfile makes objects of it.

    Raises TooManyFilesError, and zipfile.BadZipFile for what is not a zip.
    """
    start, size = _listing(file)
    if size > most_files * _MOST_PER_ENTRY:
        raise TooManyFilesError
    file.seek(start)
    listing, position, count = file.read(size), 0, 0
    while listing.startswith(_ENTRY, position):
        name, extra, comment = (
            int.from_bytes(listing[position + at : position + at + 2], "little") for at in (28, 30, 32)
        )
        position += 46 + name + extra + comment
        count += 1
        if count > most_files:
            raise TooManyFilesError
    del listing  # zipfile reads its own
    return zipfile.ZipFile(file)


def _listing(file: IO[bytes]) -> tuple[int, int]:
    """Return where the listing (central directory) starts and its size in bytes."""
    length = file.seek(0, os.SEEK_END)
    file.seek(max(length - 22 - 2**16, 0))
    tail = file.read()
    bare = tail[-22:]  # the end record of a zip without a comment, which zipfile looks for first
    end = len(tail) - 22 if bare.startswith(_END) and bare.endswith(b"\0\0") else tail.rfind(_END)
    if end < 0 or len(tail) - end < 22:
        raise zipfile.BadZipFile("no end record")
    size, before = int.from_bytes(tail[end + 12 : end + 16], "little"), length - len(tail) + end
    if end >= 20 and tail.startswith(_LARGE_LOCATOR, end - 20):
        before = before - 20 - 56  # the record of a zip64, where zipfile expects it
        file.seek(max(before, 0))
        record = file.read(56)
        if not record.startswith(_LARGE_END):
            raise zipfile.BadZipFile("no zip64 record")
        size = int.from_bytes(record[40:48], "little")
    if size > before:
        raise zipfile.BadZipFile("a listing larger than the file")
    return before - size, size
