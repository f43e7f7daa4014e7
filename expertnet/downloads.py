"""Downloads with progress, a way to cancel, and torchvision's own checksums.

In this module: Resource, Cancelled, DownloadError, fetch. A cancelled or failed download leaves no file behind.
"""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torchvision.datasets.utils import check_integrity

PIECE = 256 * 2**10  # bytes between two looks at whether to go on
TIMEOUT = 30.0  # seconds without an answer


class Cancelled(Exception):
    """The person asked to stop."""


class DownloadError(ValueError):
    """A download that did not work; the text is one sentence."""


@dataclass(frozen=True)
class Resource:
    file: str
    md5: str
    urls: tuple[str, ...]  # tried in order


def fetch(
    resource: Resource, folder: Path, progress: Callable[[float | None], None], cancelled: Callable[[], bool]
) -> Path:
    """The file of a resource in `folder`, downloaded unless it is there and sound.

    Raises Cancelled, and DownloadError where no address gives the right file.
    """
    path = folder / resource.file
    if check_integrity(str(path), resource.md5):
        return path
    folder.mkdir(parents=True, exist_ok=True)
    reason = ""
    for url in resource.urls:
        part = path.with_name(path.name + ".part")
        try:
            _stream(url, part, progress, cancelled)
            if check_integrity(str(part), resource.md5):
                return part.replace(path)
            reason = "the checksum is wrong"
        except (urllib.error.URLError, OSError, http.client.HTTPException) as error:
            reason = str(getattr(error, "reason", error))
        finally:
            part.unlink(missing_ok=True)
    raise DownloadError(
        f"{resource.file} could not be downloaded ({reason}): check the network and try again, or use the digits or "
        "a folder of your own, which need no download."
    )


def _stream(url: str, part: Path, progress: Callable[[float | None], None], cancelled: Callable[[], bool]) -> None:
    request = urllib.request.Request(url, headers={"User-Agent": "ExpertNet-Studio"})
    with urllib.request.urlopen(request, timeout=TIMEOUT) as answer, part.open("wb") as file:
        total, done = int(answer.headers.get("Content-Length") or 0), 0
        while piece := answer.read(PIECE):
            if cancelled():
                raise Cancelled
            file.write(piece)
            done += len(piece)
            progress(done / total if total else None)
