"""Receive files in pieces: many small ones at once, and large ones bit by bit, so that a lost connection costs one piece.

A piece is the length of its header (4 bytes, big-endian), the header as JSON (`path` and `number` of the file in the upload, its
`size`, `offset` and `count` of the bytes that follow, `label` of the class or "") and these bytes. An unfinished file is in
`parts/<number>`.
"""

import json
import re
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from expertnet.data.archives import MAX_FILES, MAX_UNPACKED
from expertnet.data.images import MAX_BYTES
from expertnet.data.own.intake import files_at, note_unpacked, refuse_full_disk, reject, stage
from expertnet.data.own.log import FullDiskError
from expertnet.data.own.uploads import Upload, UploadGoneError
from expertnet.errors import DatasetError
from expertnet.utils.text import displayable

MOST = 8 * 2**20  # bytes of the pieces that are sent at once, with their headers
MOST_PIECES = 100  # sent at once; the Data page sends at most 64
LONGEST_HEADER = 8192
ARCHIVES = (".zip", ".tar", ".tgz", ".gz", ".xz", ".bz2")

_growing = [threading.Lock() for _ in range(64)]  # for files that come in several pieces, by what identifies them


@dataclass(frozen=True)
class Piece:
    """A part of a file."""

    path: str
    number: int
    size: int  # of the whole file
    offset: int
    label: str
    data: bytes

    @property
    def is_archive(self) -> bool:
        return self.path.lower().endswith(ARCHIVES)


def pieces_of(body: bytes) -> Iterator[Piece]:
    """Yield the pieces in the body of a request. Raises DatasetError if it is damaged."""
    place = number_of_pieces = 0
    try:
        while place < len(body):
            number_of_pieces += 1
            if number_of_pieces > MOST_PIECES:
                raise ValueError
            length = int.from_bytes(body[place : place + 4], "big")
            if length > LONGEST_HEADER:
                raise ValueError
            header = json.loads(body[place + 4 : place + 4 + length])
            start = place + 4 + length
            path, label = header["path"], header["label"]
            number, size, offset, count = (int(header[name]) for name in ("number", "size", "offset", "count"))
            place = start + count
            texts = isinstance(path, str) and isinstance(label, str) and 0 < len(path) <= LONGEST_HEADER
            inside = 0 <= offset <= offset + count <= size and place <= len(body) and 0 <= number < MAX_FILES
            if not texts or not inside:
                raise ValueError
            shown = displayable(path)  # JSON cannot hold surrogates
            yield Piece(shown, number, size, offset, label, body[start:place])
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        raise DatasetError("The upload arrived damaged. Reload the page and upload the files again.") from None


def receive(upload: Upload, body: bytes) -> None:
    """Take the pieces in the body of a request. Whole files are decoded and on the disk afterwards. Raises DatasetError."""
    upload.touch()
    files: dict[str, list[tuple[str, bytes]]] = {}  # by class
    too_large: dict[str, str] = {}
    for piece in list(pieces_of(body)):
        limit = MAX_UNPACKED if piece.is_archive else MAX_BYTES
        if piece.size > limit:
            too_large[piece.path] = f"The file is larger than {limit // 2**20:,} MiB. Make it smaller."
        elif piece.size == len(piece.data) and not piece.is_archive:
            files.setdefault(piece.label, []).append((piece.path, piece.data))
        else:
            with _growing[hash((upload, piece.number)) % len(_growing)]:  # the same piece may come again meanwhile
                _grow(upload, piece)
    for label, found in files.items():
        stage(upload, found, label)
    if too_large:
        reject(upload, too_large)


def _grow(upload: Upload, piece: Piece) -> None:
    """Add a piece to its file, and take the file in once it is whole. A piece that comes twice changes nothing."""
    part = _part(upload, piece)
    if not part.exists() and (piece.offset or piece.is_archive) and piece.path in upload.arrived().paths:
        return  # the answer to its last piece was lost
    if not _append(part, piece):
        return
    if piece.is_archive:
        _unpack(upload, part, piece)
    else:
        stage(upload, [(piece.path, part.read_bytes())], piece.label)
    shutil.rmtree(part.parent, ignore_errors=True)


def _unpack(upload: Upload, archive: Path, piece: Piece) -> None:
    try:
        stage(upload, files_at(archive), piece.label, archive=piece.path)
        note_unpacked(upload, piece.path)
    except (FullDiskError, UploadGoneError):
        raise
    except DatasetError as error:
        reject(upload, {piece.path: str(error)})


def _part(upload: Upload, piece: Piece) -> Path:
    """Return where an unfinished file is. Only letters, digits and a few signs remain of its name, which errors show."""
    name = re.sub(r"[^\w.()-]+", "_", re.split(r"[/\\]", piece.path)[-1]).lstrip(".")[-60:] or "file"
    return upload.parts / str(piece.number) / name


def _append(part: Path, piece: Piece) -> bool:
    """Write a piece where it belongs and return whether the file is whole."""
    size = part.stat().st_size if part.exists() else 0
    if piece.offset > size:
        raise DatasetError("A piece of the upload is missing. Reload the page and upload the files again.")
    refuse_full_disk(part.parents[2], len(piece.data))
    part.parent.mkdir(parents=True, exist_ok=True)
    with part.open("ab") as file:
        file.truncate(piece.offset)
        file.write(piece.data)
    return piece.offset + len(piece.data) == piece.size


def arrived(upload: Upload) -> dict[str, object]:
    """Return the paths of the files that are whole, and by number, how many bytes of others are there."""
    sizes = {part.parent.name: part.stat().st_size for part in upload.parts.glob("*/*")}
    return {"files": sorted(upload.arrived().paths), "parts": sizes}
