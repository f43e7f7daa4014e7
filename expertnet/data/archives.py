"""The files of a folder or of an untrusted archive, one after the other; nothing is ever unpacked to disk.

In this module: Entry, entries, and the limits MAX_UNPACKED and MAX_FILES. Zip, and tar plain or packed with gzip, bzip2
or xz, are told apart by their first bytes. An archive is read forwards as a stream, member by member, and never follows
a name or a link, so a hostile one has nowhere to go; it is refused all the same.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

from expertnet.data.images import MAX_BYTES
from expertnet.errors import DatasetError
from expertnet.utils.progress import ShouldStop, never, raise_if_cancelled
from expertnet.utils.text import printable

MAX_UNPACKED = 4 * 2**30  # bytes of all members of an archive together
MAX_FILES = 200_000  # members of an archive
MAX_DEPTH = 4  # wrapping folder / train / class / image: a link in a folder cannot lead round for ever
_HEADERS = 2**30  # bytes that a tar may spend on what is no member's content
_DAMAGE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    lzma.LZMAError,
    zlib.error,
    EOFError,
    OSError,
    ValueError,
    RecursionError,
    NotImplementedError,
    RuntimeError,
)  # RuntimeError: zipfile's word for a member that is encrypted
_PACKERS: dict[bytes, Callable[[Any], Any]] = {
    b"\xfd7zXZ\x00": lzma.LZMAFile,
    b"\x1f\x8b": lambda file: gzip.GzipFile(fileobj=file),
    b"BZh": bz2.BZ2File,
}


@dataclass(frozen=True)
class Entry:
    """A file or a folder inside; `read` gives a file's bytes, at most MAX_BYTES + 1, and only until the next entry is asked for."""

    path: str  # "train/cat/1.jpg": relative, no "." or "..", printable
    is_folder: bool
    share: float | None  # of the whole that has been gone through, where it is known
    read: Callable[[], bytes]
    stamp: tuple[int, int] = (0, 0)  # of a file in a folder: bytes, and nanoseconds of its last change


def entries(path: Path, cancelled: ShouldStop = never) -> Iterator[Entry]:
    """All files and folders but hidden ones (dotfiles, __MACOSX), those of an archive in the order they are stored.

    Raises Cancelled, or DatasetError for what is no folder or archive, is damaged, breaks a limit, or reaches outside.
    """
    if path.is_dir():
        yield from _folder(path, "", cancelled)
        return
    with _sound(path.name), path.open("rb") as file:
        start = file.read(512)
        file.seek(0)
        unpack = next((packer for magic, packer in _PACKERS.items() if start.startswith(magic)), None)
        if start.startswith((b"PK\3\4", b"PK\5\6")):
            yield from _zip(file, path.name, cancelled)
        elif unpack or _is_tar_header(start):
            yield from _tar(file, unpack, path, cancelled)
        else:
            raise DatasetError(
                f"{path.name} is neither a zip nor a tar archive; give a folder or archive of class folders."
            )


@contextmanager
def _sound(name: str) -> Iterator[None]:
    """Turns what the readers of archives raise on damaged ones into one sentence."""
    try:
        yield
    except DatasetError:
        raise
    except _DAMAGE as error:
        raise DatasetError(f"{name} is damaged, encrypted or cut off; copy it or pack it again.") from error


def _is_tar_header(start: bytes) -> bool:
    try:
        tarfile.TarInfo.frombuf(start, "utf-8", "surrogateescape")
    except tarfile.HeaderError as error:
        return isinstance(error, tarfile.EOFHeaderError)  # type: ignore[attr-defined]  # an empty tar is one all the same
    return True


def _folder(root: Path, inside: str, cancelled: ShouldStop, depth: int = 1) -> Iterator[Entry]:
    """What lies in a person's own folder, sorted; links are followed, as collections of linked images are common."""
    with os.scandir(root / inside) as found:
        items = sorted(found, key=lambda item: item.name)
    for item in items:
        raise_if_cancelled(cancelled)
        if _hidden([item.name]):
            continue
        path = f"{inside}/{item.name}".lstrip("/")
        if item.is_dir():
            yield Entry(printable(path), True, None, bytes)
            if depth < MAX_DEPTH:
                yield from _folder(root, path, cancelled, depth + 1)
        elif item.is_file():  # no pipes, which would wait for ever
            status = item.stat()
            read = partial(_read_file, root / path, status.st_size)
            yield Entry(printable(path), False, None, read, (status.st_size, status.st_mtime_ns))


def _read_file(path: Path, size: int) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(min(size, MAX_BYTES + 1))
    except OSError:
        return b""  # one file that may not be read is counted with those that give no image


def _zip(file: IO[bytes], name: str, cancelled: ShouldStop) -> Iterator[Entry]:
    with zipfile.ZipFile(file) as archive:
        members, total = archive.infolist(), 0
        for number, member in enumerate(members):
            raise_if_cancelled(cancelled)
            total += member.file_size  # zipfile itself reads no more of a member than is declared here
            _within_limits(name, number + 1, total)
            kind = stat.S_IFMT(member.external_attr >> 16)
            path = _checked(name, member.filename.replace("\\", "/"), kind in (0, stat.S_IFREG, stat.S_IFDIR))
            if path:
                yield Entry(path, member.is_dir(), number / len(members), partial(_read_zipped, name, archive, member))


def _read_zipped(name: str, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    with _sound(name), archive.open(member) as file:
        return file.read(min(member.file_size, MAX_BYTES + 1))


def _tar(file: IO[bytes], unpack: Callable[[Any], Any] | None, path: Path, cancelled: ShouldStop) -> Iterator[Entry]:
    size, count, total = path.stat().st_size, 0, 0
    stream: Any = _Forward(unpack(file) if unpack else file, path.name, cancelled)
    with tarfile.open(fileobj=stream, mode="r:") as archive:
        while (member := archive.next()) is not None:
            archive.members = []  # type: ignore[attr-defined]  # tarfile would keep them all
            if member.size < 0:
                raise tarfile.ReadError("a size below zero")
            count, total = count + 1, total + member.size
            _within_limits(path.name, count, total)
            inside = _checked(path.name, member.name, member.isreg() or member.isdir())
            if inside:
                share = min(file.tell() / size, 1.0)
                yield Entry(inside, member.isdir(), share, partial(_read_tarred, path.name, archive, member))
    if stream.last.strip(b"\0"):  # a tar ends with a block of zeros; tarfile takes any broken header for the end
        raise tarfile.ReadError("no end")


def _read_tarred(name: str, archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    with _sound(name), archive.extractfile(member) or io.BytesIO() as file:
        return file.read(min(member.size, MAX_BYTES + 1))


class _Forward:
    """A stream that is only read forwards, a limited piece at a time, and looks whether to stop as it goes."""

    def __init__(self, stream: Any, name: str, cancelled: ShouldStop) -> None:
        self.stream, self.name, self.cancelled = stream, name, cancelled
        self.position, self.last = 0, b""

    def read(self, size: int) -> bytes:
        if size > MAX_BYTES + 1 or self.position > MAX_UNPACKED + _HEADERS:  # a header that claims gigabytes
            raise DatasetError(f"{self.name} has headers larger than any real archive's; pack it again.")
        raise_if_cancelled(self.cancelled)
        self.last = self.stream.read(size)
        self.position += len(self.last)
        return self.last

    def tell(self) -> int:
        return self.position

    def seek(self, position: int) -> None:
        while self.position < position and self.read(min(position - self.position, 2**20)):
            pass
        if self.position != position:
            raise EOFError


def _within_limits(name: str, count: int, total: int) -> None:
    if count > MAX_FILES:
        raise DatasetError(f"{name} holds more than the {MAX_FILES:,} files allowed; leave some out.")
    if total > MAX_UNPACKED:
        raise DatasetError(
            f"{name} unpacks to more than the {MAX_UNPACKED / 2**30:.3g} GiB allowed; leave some files out."
        )


def _checked(archive: str, name: str, is_plain: bool) -> str:
    """A member's path, tidied; empty where it is to be passed over. Raises DatasetError for what reaches outside."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    shown = printable(name[:80])
    if name.startswith("/") or ".." in parts or re.match(r"[A-Za-z]:", name):
        raise DatasetError(
            f"{archive} holds the path {shown!r}, which points outside the archive; pack it again from inside its folder."
        )
    if not is_plain:
        raise DatasetError(
            f"{archive} holds {shown!r}, which is a link or a device; pack it again with plain files and folders alone."
        )
    return "" if _hidden(parts) else printable("/".join(parts))


def _hidden(parts: list[str]) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in parts)
