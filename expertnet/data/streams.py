"""Read packed archives forwards, within limits of memory."""

import lzma
import tarfile
from typing import IO, Any

from expertnet.data.images import MAX_BYTES
from expertnet.errors import DatasetError
from expertnet.utils.progress import ShouldStop, raise_if_cancelled

MAX_DICTIONARY = 128 * 2**20  # bytes that unpacking an xz may take; xz -9 needs 65 MiB
MAX_HEADER = 2**18  # bytes of everything a tar says of one member, or of all members that follow


class TarStream:
    """Reads a tar forwards in limited pieces, and can be cancelled."""

    def __init__(self, stream: Any, name: str, most: int, cancelled: ShouldStop) -> None:
        self.stream, self.name, self.most, self.cancelled = stream, name, most, cancelled  # most bytes in all
        self.position, self.last = 0, b""
        self.allowed = MAX_HEADER  # bytes that may be read: for the next header, or at once of a content

    def next_header(self, archive: tarfile.TarFile) -> tarfile.TarInfo | None:
        """Read the next member's header, which may claim gigabytes and then repeat for as long."""
        self.allowed = MAX_HEADER
        member = archive.next()
        # Every member copies these headers.
        if sum(len(key) + len(value) for key, value in archive.pax_headers.items()) > MAX_HEADER:
            raise self._too_large()
        self.allowed = MAX_BYTES + 1
        return member

    def _too_large(self) -> DatasetError:
        return DatasetError(f"{self.name} has headers that are too large. Create a new archive.")

    def read(self, size: int) -> bytes:
        if size > self.allowed:
            raise self._too_large()
        if self.allowed <= MAX_HEADER:
            self.allowed -= size
        return self._advance(size)

    def _advance(self, size: int) -> bytes:
        if self.position > self.most:
            raise self._too_large()
        raise_if_cancelled(self.cancelled)
        self.last = self.stream.read(size)
        self.position += len(self.last)
        return self.last

    def tell(self) -> int:
        return self.position

    def seek(self, position: int) -> None:
        while self.position < position and self._advance(min(position - self.position, 2**20)):
            pass
        if self.position != position:
            raise EOFError


class XzStream:
    """Unpacks an xz within MAX_DICTIONARY of memory; lzma.LZMAFile would take what the file asks for, up to 4 GiB."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.unpacker = lzma.LZMADecompressor(lzma.FORMAT_XZ, MAX_DICTIONARY)

    def read(self, size: int) -> bytes:
        pieces = []
        while size:
            packed = b""
            if self.unpacker.eof:
                packed = self.unpacker.unused_data.lstrip(b"\0") or self.file.read(2**16).lstrip(b"\0")
                if not packed:
                    break
                self.unpacker = lzma.LZMADecompressor(lzma.FORMAT_XZ, MAX_DICTIONARY)  # files may be concatenated
            elif self.unpacker.needs_input:
                packed = self.file.read(2**16)
                if not packed:
                    raise EOFError
            piece = self.unpacker.decompress(packed, size)
            pieces.append(piece)
            size -= len(piece)
        return b"".join(pieces)
