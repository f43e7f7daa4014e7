"""Open zips from untrusted sources. Members must have the name of a run's file, and are counted while they are unpacked.

The text of each RunError continues a sentence that begins with the name of the zip.
"""

import io
import os
import stat
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, cast

from expertnet.errors import RunError
from expertnet.store.run_store import RUN_ID
from expertnet.transfer.format import MANIFEST, MAX_FILES, MAX_RUNS, MAX_UNPACKED, PIECE, limit_of
from expertnet.transfer.validation import one_line

_END = b"PK\5\6"  # begins the record of 22 bytes that ends a zip without a comment
_LARGE_ZIP = b"PK\6\7"  # begins the record of 20 bytes before it in a zip of more than 4 GiB
_ENCRYPTED = 1  # a bit of a member's flags
_ADVICE = "Export the run again and import the file unchanged."


@dataclass(frozen=True)
class Member:
    """A file in a zip."""

    archive: zipfile.ZipFile
    info: zipfile.ZipInfo

    def pieces(self) -> Iterator[bytes]:
        """Yield the content, which must be as long as the zip's listing says. Raises RunError."""
        left = self.info.file_size
        try:
            with self.archive.open(self.info) as file:
                while left:
                    piece = file.read(min(PIECE, left))
                    if not piece:
                        raise EOFError
                    left -= len(piece)
                    yield piece
        except Exception:  # zipfile raises almost any exception for damaged files
            raise RunError(f"its {self.info.filename} is damaged or truncated. {_ADVICE}") from None

    def read(self) -> bytes:
        """Return the content. Raises RunError."""
        return b"".join(self.pieces())


class _Stored(io.RawIOBase):
    """A stored member of a zip, in which any place can be read. zipfile would read up to that place from the start."""

    def __init__(self, file: IO[bytes], info: zipfile.ZipInfo) -> None:
        file.seek(info.header_offset)
        header = file.read(30)
        lengths = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")  # name, extra field
        self.file, self.start, self.size, self.place = file, info.header_offset + 30 + lengths, info.file_size, 0

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self.place = offset + (0, self.place, self.size)[whence]
        return self.place

    def read(self, size: int = -1) -> bytes:
        self.file.seek(self.start + self.place)
        left = max(self.size - self.place, 0)
        content = self.file.read(left if size < 0 else min(size, left))
        self.place += len(content)
        return content


def open_zip(file: IO[bytes]) -> zipfile.ZipFile:
    """Open a zip. Raises RunError if it is none, or if its listing would fill the memory."""
    try:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(size - 42, 0))
        end = file.read(42)
        listing = int.from_bytes(end[-10:-6], "little")  # bytes
        if end[-22:-18] != _END or end[-2:] != b"\0\0" or end.startswith(_LARGE_ZIP) or listing > 200 * MAX_FILES:
            raise ValueError("no listing, or one that would fill the memory")
        return zipfile.ZipFile(file)
    except Exception:  # zipfile raises almost any exception for other files
        raise RunError(f"it is not a zip file or is damaged. {_ADVICE}") from None


def open_exports(file: IO[bytes], name: str) -> list[tuple[IO[bytes], str]]:
    """Return the zip of each run in a file from `export_runs`, with a name for messages; else the file itself.

    Nothing is unpacked. Raises RunError if the file is not a zip or has more than MAX_RUNS runs.
    """
    archive = open_zip(file)
    members = archive.infolist()
    if not members or not all(map(_is_export, members)):
        return [(file, name)]
    if len(members) > MAX_RUNS:
        raise RunError(f"it contains {len(members):,} runs, and at most {MAX_RUNS} can be imported at once.")
    try:
        return [(cast(IO[bytes], _Stored(file, member)), f"{member.filename} in {name}") for member in members]
    except ValueError:  # a member that begins before the file
        raise RunError(f"it is damaged. {_ADVICE}") from None


def _is_export(member: zipfile.ZipInfo) -> bool:
    stored = member.compress_type == zipfile.ZIP_STORED and member.file_size == member.compress_size
    run_id = member.filename.removeprefix("run-").removesuffix(".zip")
    return stored and not member.flag_bits & _ENCRYPTED and bool(RUN_ID.fullmatch(run_id))


def run_files(archive: zipfile.ZipFile) -> dict[str, Member]:
    """Return the files of an exported run by name, none of them read yet.

    Raises RunError unless all are plain files of a run within the limits, and the required ones are there.
    """
    members: dict[str, Member] = {}
    for info in archive.infolist():
        name = info.filename
        limit = limit_of(name)
        is_plain = stat.S_IFMT(info.external_attr >> 16) in (0, stat.S_IFREG) and not info.flag_bits & _ENCRYPTED
        is_readable = info.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
        if not (limit and is_plain and is_readable):
            raise RunError(f"it contains {one_line(name, 80)!r}, which is not part of an exported run. {_ADVICE}")
        if name in members:
            raise RunError(f"it contains two files named {name}. {_ADVICE}")
        if info.file_size > limit:
            raise RunError(f"its {name} is larger than the {limit:,} bytes allowed.")
        members[name] = Member(archive, info)
    for name in (MANIFEST, "config.json", "status.json"):
        if name not in members:
            raise RunError(f"it has no {name}, so it is not an exported run. {_ADVICE}")
    if sum(member.info.file_size for member in members.values()) > MAX_UNPACKED or len(members) > MAX_FILES:
        raise RunError(f"it unpacks to more than the {MAX_UNPACKED >> 30} GiB allowed.")
    return members
