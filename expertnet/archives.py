"""Folders and untrusted archives of class folders -> one stream of picture files.

In this module: PictureFile, PictureSource (list the files first, then read them in order), open_source.
Archives are read member by member and never unpacked to disk, so a hostile path has nowhere to go.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

MAX_UNPACKED_BYTES = 4 * 2**30
MAX_FILES = 200_000
ARCHIVE_SUFFIXES = (".zip", ".tar", ".tar.xz", ".txz", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2")
PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})


class ArchiveError(ValueError):
    """A folder or archive that is refused; the text is one sentence."""


@dataclass(frozen=True)
class PictureFile:
    parts: tuple[str, ...]  # the path inside the folder or archive
    read: Callable[[], bytes]


class PictureSource:
    """A folder or archive of pictures: a fingerprint of it, and its files."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def fingerprint(self) -> str:
        """Changes when the pictures change: of an archive its content, of a folder paths, sizes and times."""
        raise TypeError("open_source makes the right kind")

    def files(self) -> Iterator[PictureFile]:
        """The picture files, in the order they are stored; raises ArchiveError."""
        raise TypeError("open_source makes the right kind")


def open_source(text: str) -> PictureSource:
    """The source at a path. Raises ArchiveError where there is none."""
    path = Path(text).expanduser()
    if path.is_dir():
        return _Folder(path)
    if not path.is_file():
        raise ArchiveError(
            f"There is no data set {text!r}: give a built-in name, or the path of a folder or archive of class folders."
        )
    if zipfile.is_zipfile(path):
        return _Zip(path)
    if not path.name.lower().endswith(ARCHIVE_SUFFIXES):
        raise ArchiveError(
            f"{path.name} is no archive; give a folder, .zip, .tar, .tar.gz or .tar.xz of class folders."
        )
    return _Tar(path)


def is_picture(parts: tuple[str, ...]) -> bool:
    """Whether a path counts; __MACOSX, dotfiles and what is no picture by its name are passed over."""
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in parts)
    return not hidden and PurePosixPath(parts[-1]).suffix.lower() in PICTURE_SUFFIXES


class _Folder(PictureSource):
    def fingerprint(self) -> str:
        digest = hashlib.sha256(str(self.path.resolve()).encode(errors="surrogateescape"))
        for parts, entry in self._walk():
            digest.update(repr((parts, entry.st_size, entry.st_mtime_ns)).encode(errors="backslashreplace"))
        return digest.hexdigest()

    def files(self) -> Iterator[PictureFile]:
        for parts, _ in self._walk():
            yield PictureFile(parts, self.path.joinpath(*parts).read_bytes)

    def _walk(self) -> Iterator[tuple[tuple[str, ...], os.stat_result]]:
        count = 0
        for folder, subfolders, names in os.walk(self.path):
            subfolders.sort()
            for name in sorted(names):
                path = Path(folder, name)
                parts = path.relative_to(self.path).parts
                if is_picture(parts) and path.is_file():
                    count += 1
                    _check_limits(count, 0, self.path.name)
                    yield parts, path.stat()


class _Archive(PictureSource):
    def fingerprint(self) -> str:
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def _checked_parts(self, name: str, is_link: bool) -> tuple[str, ...]:
        path = PurePosixPath(name.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or (path.parts and path.parts[0].endswith(":")):
            raise ArchiveError(
                f"{self.path.name} holds the path {name[:80]!r}, which leads outside; pack it again from inside its folder."
            )
        if is_link:
            raise ArchiveError(
                f"{self.path.name} holds {name[:80]!r}, which is a link or a device; pack it again with plain files alone."
            )
        return path.parts


class _Zip(_Archive):
    def files(self) -> Iterator[PictureFile]:
        try:
            with zipfile.ZipFile(self.path) as archive:
                total = 0
                checked = []
                for count, member in enumerate(archive.infolist(), 1):
                    mode = member.external_attr >> 16
                    parts = self._checked_parts(
                        member.filename, stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR)
                    )
                    total += member.file_size
                    _check_limits(count, total, self.path.name)
                    if not member.is_dir() and parts and is_picture(parts):
                        checked.append((parts, member))
                for parts, member in checked:
                    # zipfile itself reads no more than the size that was declared and counted above
                    yield PictureFile(parts, lambda member=member: archive.read(member))  # type: ignore[misc]
        except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, OSError) as error:
            raise ArchiveError(
                f"{self.path.name} is damaged, encrypted or cut off ({type(error).__name__}); pack it again."
            ) from error


class _Tar(_Archive):
    def files(self) -> Iterator[PictureFile]:
        total = count = 0
        try:
            with tarfile.open(self.path, "r|*") as archive:  # a stream: compressed archives are gone through once
                for member in archive:
                    parts = self._checked_parts(member.name, not (member.isreg() or member.isdir()))
                    count, total = count + 1, total + member.size
                    _check_limits(count, total, self.path.name)
                    if member.isreg() and parts and is_picture(parts):
                        file = archive.extractfile(member)
                        assert file is not None
                        yield PictureFile(parts, file.read)
        except (tarfile.TarError, EOFError, OSError, ValueError) as error:
            if isinstance(error, ArchiveError):
                raise
            raise ArchiveError(
                f"{self.path.name} is damaged or cut off ({type(error).__name__}); pack it again."
            ) from error
        except Exception as error:  # lzma and zlib have error types of their own
            if type(error).__module__ in ("lzma", "_lzma", "zlib", "bz2"):
                raise ArchiveError(
                    f"{self.path.name} is damaged or cut off ({type(error).__name__}); pack it again."
                ) from error
            raise


def _check_limits(files: int, size: int, name: str) -> None:
    if files > MAX_FILES:
        raise ArchiveError(f"{name} holds more than {MAX_FILES:,} files; leave some out.")
    if size > MAX_UNPACKED_BYTES:
        raise ArchiveError(
            f"{name} unpacks to more than {MAX_UNPACKED_BYTES / 2**30:.3g} GiB; leave some pictures out."
        )
