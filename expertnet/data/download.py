"""Download files, with progress, cancellation and checksums."""

import os
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.parse import urlsplit

from filelock import Timeout

from expertnet.errors import DatasetError
from expertnet.utils.files import file_lock, remove_leftovers
from expertnet.utils.progress import Report, ShouldStop, never, raise_if_cancelled, silent

PIECE = 64 * 1024  # bytes; cancellation is checked after each
TIMEOUT = 20.0  # seconds without data
TICK = 0.5  # seconds; cancellation is checked after each while another download is waited for


def download(
    urls: Sequence[str],
    target: Path,
    md5: str,
    title: str,
    total: int | None = None,
    before: int = 0,
    progress: Report = silent,
    cancelled: ShouldStop = never,
) -> int:
    """Download `target` from the first URL that works, unless it is already complete. Returns its size in bytes.

    If a dataset has several files, `before` is the size of the earlier ones and `total` that of all, so that the
    reported share grows from 0 to 1 once. `target` appears only when its MD5 is right. If another thread or process downloads
    it, this one waits. Raises Cancelled, DatasetError if no URL works, or OSError.
    """
    from torchvision.datasets.utils import check_integrity  # torchvision takes a second to import

    if check_integrity(target, md5):
        return target.stat().st_size
    target.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(target.parent, "*.part")
    part = target.with_name(f"{target.name}.{os.getpid()}.part")
    problem = ""
    with _alone(target, title, progress, cancelled):
        if check_integrity(target, md5):  # the other one has downloaded it
            return target.stat().st_size
        try:
            for url in urls:
                problem = _fetch(url, part, title, total, before, progress, cancelled)
                if not problem and check_integrity(part, md5):
                    os.replace(part, target)
                    return target.stat().st_size
                problem = f"{urlsplit(url).hostname or url}: {problem or 'wrong checksum'}"
        finally:
            part.unlink(missing_ok=True)
    raise DatasetError(
        f"{title} could not be downloaded ({problem}). Check the network and the disk space, then try again. "
        "Digits and your own images need no download."
    )


@contextmanager
def _alone(target: Path, title: str, progress: Report, cancelled: ShouldStop) -> Iterator[None]:
    """Wait until no other thread or process downloads a file. Raises Cancelled or OSError."""
    with ExitStack() as stack:
        lock = file_lock(target.with_name(f".{target.name}.lock"), TICK)
        while not lock.is_locked:
            raise_if_cancelled(cancelled)
            try:
                stack.enter_context(lock.acquire())
            except Timeout:
                progress(f"Waiting for another download of {title}", None)
        yield


def _fetch(
    url: str, part: Path, title: str, total: int | None, before: int, progress: Report, cancelled: ShouldStop
) -> str:
    """Stream a URL into the partial file. Returns what went wrong, or ""."""
    activity, received = f"Downloading {title}", 0
    raise_if_cancelled(cancelled)
    progress(activity, before / total if total else None)
    try:
        with _opened(url) as response, part.open("wb") as file:
            length = response.length or 0  # None if the server does not say
            expected = total or length
            while piece := response.read(PIECE):
                raise_if_cancelled(cancelled)
                file.write(piece)
                received += len(piece)
                progress(activity, min((before + received) / expected, 1.0) if expected else None)
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
        return str(reason or type(error).__name__)
    return "connection interrupted" if length and received < length else ""


def _opened(url: str) -> HTTPResponse:
    """Ask for a URL. Raises OSError or HTTPException."""
    request = urllib.request.Request(url, headers={"User-Agent": "expertnet"})
    try:
        return urllib.request.urlopen(request, timeout=TIMEOUT)
    except ValueError:  # urllib raises it for a redirect to something that is no URL
        raise OSError("invalid redirect") from None
