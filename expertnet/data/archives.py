"""List and read the files of a folder or an untrusted archive, without unpacking anything to disk.

Zip and tar archives (plain, gzip, bzip2 or xz) are recognized by their first bytes. Member names and links are never used
as paths, so a hostile archive can do no harm. It is rejected anyway.
"""

import bz2
import errno
import gzip
import io
import lzma
import os
import re
import stat
import sys
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
from expertnet.data.shown import MAX_DEPTH, Shown
from expertnet.data.streams import MAX_DICTIONARY, TarStream, XzStream
from expertnet.data.zips import TooManyFilesError, open_zip
from expertnet.errors import DatasetError
from expertnet.utils.progress import ShouldStop, never, raise_if_cancelled
from expertnet.utils.text import printable

MAX_UNPACKED = 4 * 2**30  # bytes of all members together
MAX_FILES = 200_000  # members
MAX_PATH = 1024  # characters
MAX_PATHS = 50 * 2**20  # bytes in memory of all paths together
# What the archive readers raise for damaged files. RuntimeError: an encrypted member, unknown compression, endless recursion.
_DAMAGE = (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, IndexError, OSError, ValueError, RuntimeError)
_PACKERS: dict[bytes, Callable[[Any], Any]] = {
    b"\xfd7zXZ\x00": XzStream,
    b"\x1f\x8b": lambda file: gzip.GzipFile(fileobj=file),
    b"BZh": bz2.BZ2File,
}


@dataclass(frozen=True)
class Entry:
    """A file or folder. `read` returns up to MAX_BYTES + 1 bytes of a file; call it before asking for the next entry.

    It raises OSError if a file in a folder cannot be read, and DatasetError if the archive is damaged.
    """

    path: str  # such as train/cat/1.jpg: relative, without "." or "..", as `Shown` shows it
    is_folder: bool
    share: float | None  # of the archive read so far; None for a folder
    read: Callable[[], bytes]
    stamp: tuple[int, int] = (0, 0)  # size in bytes and modification time in ns, of a file in a folder
    place: Path | None = None  # where it really is, if in a folder


def entries(path: Path, cancelled: ShouldStop = never) -> Iterator[Entry]:
    """Yield all files and folders except hidden ones (dotfiles, __MACOSX), in the order an archive stores them.

    Raises Cancelled, or DatasetError if the path is not a folder or archive, or the archive is damaged, too large or
    hostile.
    """
    if path.is_dir():
        yield from _folder(path, "", cancelled, Shown())
        return
    with _readable(path.name), path.open("rb") as file:
        start = file.read(512)
        file.seek(0)
        unpack = next((packer for magic, packer in _PACKERS.items() if start.startswith(magic)), None)
        if start.startswith((b"PK\3\4", b"PK\5\6")):
            found = _zip(file, path.name, cancelled)
        elif unpack or _is_tar_header(start):
            found = _tar(file, unpack, path, cancelled)
        else:
            raise DatasetError(f"{path.name} is not a zip or tar archive. Choose a folder or archive of class folders.")
        size = 0
        for entry in found:
            size += sys.getsizeof(entry.path)
            if size > MAX_PATHS:
                raise DatasetError(f"{path.name} has too many long paths. Use shorter paths, or remove some files.")
            yield entry


@contextmanager
def _readable(name: str) -> Iterator[None]:
    """Turn the many errors of the archive readers into one DatasetError."""
    try:
        yield
    except DatasetError:
        raise
    except (lzma.LZMAError, *_DAMAGE) as error:
        message = f"{name} is damaged, encrypted or truncated. Copy it again, or create a new archive."
        if isinstance(error, lzma.LZMAError) and "limit" in str(error):
            most = f"{MAX_DICTIONARY // 2**20} MiB of memory"
            message = f"{name} needs more than {most} to unpack. Compress it again, with xz -9 at most."
        raise DatasetError(message) from error


def _is_tar_header(start: bytes) -> bool:
    try:
        tarfile.TarInfo.frombuf(start, "utf-8", "surrogateescape")
    except tarfile.HeaderError as error:
        return isinstance(error, tarfile.EOFHeaderError)  # type: ignore[attr-defined]  # an empty tar is valid
    return True


def _folder(root: Path, inside: str, cancelled: ShouldStop, shown: Shown, depth: int = 1) -> Iterator[Entry]:
    """Yield the contents of a folder, sorted. Links are followed, because collections of linked images are common."""
    with os.scandir(root / inside) as found:
        items = sorted(found, key=lambda item: item.name)
    for item in items:
        raise_if_cancelled(cancelled)
        if _hidden([item.name]) or _leads_to_itself(item):
            continue
        path = f"{inside}/{item.name}".lstrip("/")
        if item.is_dir():
            yield Entry(shown.path(path, is_folder=True), True, None, bytes, place=root / path)
            if depth < MAX_DEPTH:
                yield from _folder(root, path, cancelled, shown, depth + 1)
        elif item.is_file():  # not a pipe, which would block
            status = item.stat()
            read = partial(read_file, root / path, status.st_size)
            stamp = status.st_size, status.st_mtime_ns
            yield Entry(shown.path(path, is_folder=False), False, None, read, stamp, root / path)


def _leads_to_itself(item: os.DirEntry[str]) -> bool:
    """Return whether an item is a link that ends nowhere. Raises OSError."""
    try:
        item.is_dir()
    except OSError as error:
        if error.errno == errno.ELOOP:
            return True
        raise
    return False


def read_file(path: Path, size: int) -> bytes:
    """Return at most `size` and MAX_BYTES + 1 bytes of a file. Raises OSError."""
    with path.open("rb") as file:
        return file.read(min(size, MAX_BYTES + 1))


def read_or_nothing(read: Callable[[], bytes]) -> bytes:
    """Return what `read` returns, or b"", which counts as an unreadable image, if it raises OSError."""
    try:
        return read()
    except OSError:
        return b""


def _zip(file: IO[bytes], name: str, cancelled: ShouldStop) -> Iterator[Entry]:
    try:
        archive = open_zip(file, MAX_FILES)
    except TooManyFilesError:
        raise _too_many_files(name) from None
    with archive:
        members, total, shown = archive.infolist(), 0, Shown()
        for number, member in enumerate(members):
            raise_if_cancelled(cancelled)
            total += member.file_size  # zipfile never reads more than this
            _within_limits(name, number + 1, total)
            kind = stat.S_IFMT(member.external_attr >> 16)
            path = _safe_path(name, member.filename.replace("\\", "/"), kind in (0, stat.S_IFREG, stat.S_IFDIR))
            if path:
                path = shown.path(path, member.is_dir())
                yield Entry(path, member.is_dir(), number / len(members), partial(_read_zipped, name, archive, member))


def _read_zipped(name: str, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    with _readable(name), archive.open(member) as file:
        return file.read(min(member.file_size, MAX_BYTES + 1))


def _tar(file: IO[bytes], unpack: Callable[[Any], Any] | None, path: Path, cancelled: ShouldStop) -> Iterator[Entry]:
    size, count, total, shown = path.stat().st_size, 0, 0, Shown()
    most = MAX_UNPACKED + 2**30  # with headers and padding
    stream: Any = TarStream(unpack(file) if unpack else file, path.name, most, cancelled)
    with tarfile.open(fileobj=stream, mode="r:") as archive:
        while (member := stream.next_header(archive)) is not None:
            archive.members = []  # type: ignore[attr-defined]  # or tarfile remembers all of them
            if member.size < 0:
                raise tarfile.ReadError("negative size")
            count, total = count + 1, total + member.size
            _within_limits(path.name, count, total)
            inside = _safe_path(path.name, member.name, member.isreg() or member.isdir())
            if inside:
                share = min(file.tell() / size, 1.0)
                inside = shown.path(inside, member.isdir())
                yield Entry(inside, member.isdir(), share, partial(_read_tarred, path.name, archive, member))
    # tarfile takes any broken header for the end, but a complete tar ends with a block of zeros.
    if stream.last.strip(b"\0"):
        raise tarfile.ReadError("no end")


def _read_tarred(name: str, archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    with _readable(name), archive.extractfile(member) or io.BytesIO() as file:
        return file.read(min(member.size, MAX_BYTES + 1))


def _within_limits(name: str, count: int, total: int) -> None:
    if count > MAX_FILES:
        raise _too_many_files(name)
    if total > MAX_UNPACKED:
        raise DatasetError(f"{name} unpacks to more than {MAX_UNPACKED / 2**30:.3g} GiB. Remove some files.")


def _too_many_files(name: str) -> DatasetError:
    return DatasetError(f"{name} contains more than {MAX_FILES:,} files. Remove some of them.")


def _safe_path(archive: str, name: str, is_plain: bool) -> str:
    """Return a member's normalized path, or "" if it is hidden. Raises DatasetError for links and paths that lead outside."""
    shown = printable(name[:80])
    if len(name) > MAX_PATH:
        raise DatasetError(f"{archive} contains a path of {len(name):,} characters, {shown!r}... Use shorter paths.")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or ".." in parts or re.match(r"[A-Za-z]:", name):
        raise DatasetError(
            f"{archive} contains the path {shown!r}, which points outside the archive. Create a new archive from inside its folder."
        )
    if not is_plain:
        raise DatasetError(
            f"{archive} contains {shown!r}, which is a link or a device. Create a new archive of plain files and folders."
        )
    return "" if _hidden(parts) else "/".join(parts)


def _hidden(parts: list[str]) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in parts)
