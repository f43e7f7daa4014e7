"""Look at how a file is divided before a decoder sees it, because a small file can ask for hours or gigabytes."""

import re
from collections.abc import Iterator
from itertools import islice

from expertnet.errors import ImageError

MAX_PARTS = 100_000  # segments of a JPEG or chunks of a PNG; Pillow keeps some of them, with about 130 bytes for each
MAX_SCANS = 200  # of a JPEG, each of which its decoder adds to the whole image; encoders write about ten
_JPEG, _PNG, _PLAIN = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", (b"P1", b"P2", b"P3")
_MARKER = re.compile(
    rb"\xff([^\x00\x01\xd0-\xd8\xff])"
)  # of a segment of a JPEG; between segments, 255 has other followers
_SCAN, _END = 0xDA, 0xD9  # markers
_PROGRESSIVE = {0xC2, 0xC6, 0xCA, 0xCE}
_SIZE = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # markers of the segment that says how large the image is
_COMMENT = re.compile(rb"#[^\r\n]*")


def openable(data: bytes) -> bytes:
    """Return an image file so that opening it takes a time in proportion to its size. Raises ImageError if that cannot be."""
    if data.startswith(_PLAIN):
        return _COMMENT.sub(b"", data)  # each would take 20 microseconds
    if data.startswith(_JPEG):
        markers = [code for code, _ in islice(_segments(data), MAX_PARTS + 1)]
        too_many = len(markers) > MAX_PARTS or markers.count(_SCAN) > MAX_SCANS
    else:
        too_many = data.startswith(_PNG) and any(number > MAX_PARTS for number in _chunks(data))
    if too_many:
        raise ImageError("The image file has an unusual number of parts. Open it in an image editor and save it again.")
    return data


def keeps_coefficients(data: bytes) -> bool:
    """Return whether a JPEG comes in several scans, so that its decoder keeps the coefficients of the whole image."""
    components = 0
    for code, start in _segments(data) if data.startswith(_JPEG) else ():
        if code in _PROGRESSIVE:
            return True
        if code in _SIZE:
            components = int.from_bytes(data[start + 7 : start + 8])
        if code == _SCAN:
            return int.from_bytes(data[start + 2 : start + 3]) < components
    return False


def _segments(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield each segment's marker and where its length is, up to the end of the image. What follows, such as a film, is not read."""
    place = 2
    while (found := _MARKER.search(data, place)) and found[1][0] != _END:
        place = found.end()
        yield found[1][0], place
        place += max(int.from_bytes(data[place : place + 2]), 2)


def _chunks(data: bytes) -> Iterator[int]:
    """Yield the number of each chunk, from 1 on, up to the end of the image."""
    place, number = len(_PNG), 0
    while place < len(data) and data[place + 4 : place + 8] != b"IEND":
        number += 1
        yield number
        place += 12 + int.from_bytes(data[place : place + 4])
