"""Files from the net, with progress, a way to cancel, and torchvision's own checksums.

In this module: download.
"""

from __future__ import annotations

import os
import urllib.request
from collections.abc import Sequence
from http.client import HTTPException
from pathlib import Path
from urllib.parse import urlsplit

from expertnet.errors import DatasetError
from expertnet.utils.files import remove_leftovers
from expertnet.utils.progress import Report, ShouldStop, never, raise_if_cancelled, silent

PIECE = 64 * 1024  # bytes between two looks at whether to stop
TIMEOUT = 20.0  # seconds without a byte


def download(
    urls: Sequence[str],
    target: Path,
    md5: str,
    *,
    title: str,
    total: int | None = None,
    before: int = 0,
    progress: Report = silent,
    cancelled: ShouldStop = never,
) -> int:
    """Fetches `target` from the first of the urls that answers, unless it is there whole already; returns its bytes.

    With several files to a dataset, `before` is what earlier ones had and `total` what all have (bytes), so that the
    share grows once. The file appears under its name only when it is whole and its md5 is right.
    Raises Cancelled, or DatasetError when no url gives the file.
    """
    from torchvision.datasets.utils import check_integrity  # torchvision takes a second to import

    if check_integrity(target, md5):
        return target.stat().st_size
    target.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(target.parent, "*.part")
    part = target.with_name(f"{target.name}.{os.getpid()}.part")
    trouble = ""
    try:
        for url in urls:
            trouble = _fetch(url, part, title, total, before, progress, cancelled)
            if trouble:
                continue
            if check_integrity(part, md5):
                os.replace(part, target)
                return target.stat().st_size
            trouble = f"{_host(url)}: the file's checksum is wrong"
    finally:
        part.unlink(missing_ok=True)
    raise DatasetError(
        f"{title} could not be downloaded ({trouble}); check the network and the disk and try again, or use digits "
        "or a folder of your own, which need no download."
    )


def _fetch(
    url: str, part: Path, title: str, total: int | None, before: int, progress: Report, cancelled: ShouldStop
) -> str:
    """Streams the url into the partial file; returns what went wrong, or nothing."""
    activity, got = f"Downloading {title}", 0
    raise_if_cancelled(cancelled)
    progress(activity, before / total if total else None)
    try:
        request = urllib.request.Request(url, headers={"User-Agent": "expertnet"})
        with urllib.request.urlopen(request, timeout=TIMEOUT) as response, part.open("wb") as file:
            length = int(response.headers.get("Content-Length") or 0)
            whole = total or length
            while piece := response.read(PIECE):
                raise_if_cancelled(cancelled)
                file.write(piece)
                got += len(piece)
                progress(activity, min((before + got) / whole, 1.0) if whole else None)
    except (OSError, HTTPException, ValueError) as error:
        reason = (
            getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error) or type(error).__name__
        )
        return f"{_host(url)}: {reason}"
    return f"{_host(url)}: the connection broke off" if length and got < length else ""


def _host(url: str) -> str:
    return urlsplit(url).hostname or url
