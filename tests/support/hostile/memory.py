"""Uploads made to fill the memory, and the peak that reading each of them takes.

`python -m tests.support.hostile.memory` prints the peaks; benchmarks and tests read the same figures.
"""

import gzip
import io
import json
import lzma
import os
import resource
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from expertnet.data.archives import entries
from expertnet.data.class_folders import arrange
from expertnet.data.images import load_image
from expertnet.errors import UserError

LIMIT = 400  # MiB over what the process had before
SIDE = 7071  # pixels; 50 megapixels, the most that is allowed


def image(mode: str, kind: str, side: int = SIDE, **options: object) -> Callable[[], bytes]:
    def make() -> bytes:
        buffer = io.BytesIO()
        Image.new(mode, (side, side)).save(buffer, kind, **options)
        return buffer.getvalue()

    return make


def header(kind: bytes, size: int) -> bytes:
    member = tarfile.TarInfo("header")
    member.type, member.size = kind, size
    return member.tobuf(tarfile.USTAR_FORMAT)


def records(size: int) -> bytes:
    """PAX records of a few bytes each, filled up to whole blocks."""
    lines = b"".join(b"11 k%05x=1\n" % number for number in range(size // 11))
    return lines + b"\0" * (-len(lines) % 512)


def deep_path(parts: int) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        archive.addfile(tarfile.TarInfo("a/" * parts + "x.png"))
    return buffer.getvalue()


def long_listing() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number in range(400_000):
            archive.writestr(zipfile.ZipInfo(str(number)), b"")
    return buffer.getvalue()


def global_headers() -> bytes:
    content = records(8_600_000)
    return (header(tarfile.XGLTYPE, len(content)) + content) * 3


def sparse_headers() -> bytes:
    member = bytearray(header(tarfile.GNUTYPE_SPARSE, 0))
    member[482] = 1  # more of the map follows
    member[148:156] = b" " * 8
    member[148:156] = b"%06o\0 " % sum(member)
    block = b"%011o\0%011o\0" % (1, 1) * 21 + b"\1" + b"\0" * 7
    return gzip.compress(bytes(member) + block * 200_000)


def large_dictionary() -> bytes:
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 512 * 2**20, "mode": lzma.MODE_FAST, "mf": lzma.MF_HC3}]
    packer = lzma.LZMACompressor(lzma.FORMAT_XZ, filters=filters)
    return b"".join([packer.compress(b"\0" * 2**20) for _ in range(16)] + [packer.flush()])


IMAGES = {
    "PNG with transparency": image("RGBA", "PNG"),
    "gray PNG with transparency": image("LA", "PNG"),
    "PNG with a transparent color": image("RGB", "PNG", transparency=(0, 0, 0)),
    "PNG of 16 bits": image("I;16", "PNG"),
    "TIFF of floats": image("F", "TIFF", compression="tiff_deflate"),
    "TIFF with transparency": image("RGBA", "TIFF", compression="tiff_deflate"),
    "JPEG of four channels": image("CMYK", "JPEG"),
    "progressive JPEG": image("RGB", "JPEG", progressive=True),
    "GIF with transparency": image("RGBA", "GIF"),
    "WebP with transparency": image("RGBA", "WEBP", 4890, quality=1, method=0),
    "PNG of 64 megapixels": image("RGB", "PNG", 8000),
}
ARCHIVES = {
    "tar.gz with a path of 16,000 parts": lambda: deep_path(16_000),
    "tar.gz with a path of 100,000 parts": lambda: deep_path(100_000),
    "zip of 400,000 files": long_listing,
    "tar with three large global headers": global_headers,
    "tar.gz with endless sparse headers": sparse_headers,
    "tar.xz with a dictionary of 512 MiB": large_dictionary,
}
KINDS = {**IMAGES, **ARCHIVES}


def read(kind: str, path: Path) -> str:
    """Read an upload as the server does, and return the sentence that rejects it, or ""."""
    try:
        if kind in IMAGES:
            load_image(path.read_bytes(), 32)
        else:
            arrange([(entry.path, entry.is_folder) for entry in entries(path)], path.name)
    except UserError as error:
        return str(error)
    return ""


def forked(work: Callable[[], object]) -> object:
    """Do work in a child process and return what it returned."""
    receiver, sender = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(sender, json.dumps(work()).encode())
        finally:
            os._exit(0)
    os.close(sender)
    with os.fdopen(receiver) as answer:
        text = answer.read()
    os.waitpid(pid, 0)
    return json.loads(text) if text else None


def measure(kind: str, folder: Path) -> tuple[float, str]:
    """Return the peak in MiB over what the process had, and the sentence that rejected the upload."""
    path = folder / "upload"
    forked(lambda: path.write_bytes(KINDS[kind]()))

    def work() -> tuple[float, str]:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        sentence = read(kind, path)
        return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024, sentence

    peak, sentence = forked(work) or (float("inf"), "the process died")  # type: ignore[misc]
    return peak, sentence


def main() -> None:
    """Print a line of JSON for each kind."""
    with tempfile.TemporaryDirectory() as folder:
        for kind in sys.argv[1:] or KINDS:
            peak, sentence = measure(kind, Path(folder))
            print(json.dumps({"upload": kind, "peak_mib": round(peak), "rejected": sentence}), flush=True)


if __name__ == "__main__":
    main()
