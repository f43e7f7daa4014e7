"""Uploads to a dataset of yours: files that have arrived on the disk and are in no version yet.

An upload is the folder `incoming/<id>` of the dataset, with a line in `arrived.jsonl` for every few files. Each has a folder of its
own, so that no browser tab adds or discards what another one sends, and neither a reload nor a kill loses what has arrived.
"""

import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypedDict

from filelock import Timeout

from expertnet.data.own.datasets import LOCKED_FOR, refuse_if_gone
from expertnet.data.own.folders import home
from expertnet.data.own.log import append_line, lines
from expertnet.data.own.versions import open_version
from expertnet.errors import DatasetError
from expertnet.utils.files import LEFTOVER_AGE, TEMPORARY, cached_on_file, file_lock, remove_leftovers

UNDER_WAY = 15.0  # seconds for which an upload still counts as under way after its last sign of life


class UploadGoneError(DatasetError):
    """The upload was added to the dataset, or discarded."""


# A file, the archive or folder that it was in, and why it was rejected, or its class, whether the innermost folder gave the class, the
# id of a class that the user chose (not written by older versions), and the fields of an OwnImage without a label
ArrivedFile = TypedDict(
    "ArrivedFile",
    {
        "path": str,
        "archive": str,
        "reason": str,
        "class": str,
        "by_folder": bool,
        "label": str,
        "image": dict[str, Any],
    },
    total=False,
)


@dataclass(frozen=True)
class Arrived:
    """The files of an upload that are on the disk."""

    images: list[ArrivedFile] = field(default_factory=list)
    rejected: list[tuple[str, str]] = field(default_factory=list)  # paths and reasons
    paths: frozenset[str] = frozenset()  # of the files that need not be sent again, not of those inside archives


@dataclass(frozen=True)
class Upload:
    """Files on their way into a dataset."""

    dataset: str
    id: str

    @property
    def folder(self) -> Path:
        return home() / self.dataset / "incoming" / self.id

    @property
    def parts(self) -> Path:
        """The folder of files of which the rest has not arrived yet."""
        return self.folder / "parts"

    @property
    def _list(self) -> Path:
        return self.folder / "arrived.jsonl"

    @property
    def under_way(self) -> bool:
        """Return whether somebody is still sending files."""
        with suppress(OSError):
            return time.time() - self.folder.stat().st_mtime < UNDER_WAY
        return False

    def touch(self, ago: float = 0.0) -> None:
        """Give a sign of life, or set the time of the last one. Raises UploadGoneError."""
        try:
            os.utime(self.folder, (time.time() - ago,) * 2)
        except OSError:
            raise self._gone() from None

    def rest(self) -> None:
        """Note that nobody sends files for now. Raises UploadGoneError."""
        self.touch(UNDER_WAY)

    def arrived(self) -> Arrived:
        """Return the files that are on the disk."""
        try:
            return _arrived(self._list)
        except OSError:
            return Arrived()

    def note(self, found: list[ArrivedFile]) -> None:
        """Add files to those that have arrived. Call it inside `incoming`. Raises UploadGoneError, or FullDiskError."""
        if not self._list.exists():
            raise self._gone()
        append_line(self._list, found)
        self.touch()

    def end(self) -> None:
        """Forget the upload. Call it inside `incoming`."""
        gone = self.folder.with_name(f".{secrets.token_hex(8)}")
        with suppress(OSError):
            os.rename(self.folder, gone)  # or a kill would leave a part
        shutil.rmtree(gone, ignore_errors=True)

    def _gone(self) -> UploadGoneError:
        refuse_if_gone(home() / self.dataset)
        return UploadGoneError("The upload was added or discarded in another tab. Add the same files again.")


@cached_on_file(maxsize=2)  # each list may be long
def _arrived(path: Path) -> Arrived:
    files: list[ArrivedFile] = [
        file for line in lines(path) for file in line
    ]  # a file may have come twice, because an answer was lost
    rejected = dict.fromkeys((file["path"], file["reason"]) for file in files if "reason" in file)
    images = {
        (f.get("archive"), f["path"], f.get("label", f["class"]), f["image"]["digest"]): f
        for f in files
        if "image" in f
    }
    sent = frozenset(file["path"] for file in files if "archive" not in file)
    return Arrived(list(images.values()), list(rejected), sent)


def begin_upload(dataset: str, name: str = "") -> Upload:
    """Open an upload by its id, or make it. Raises DatasetError."""
    open_version(dataset)
    assert re.fullmatch(r"[0-9a-z]{0,64}", name)
    upload = Upload(dataset, name or secrets.token_hex(8))
    with incoming(dataset):
        _tidy(home() / dataset)
        upload.folder.mkdir(parents=True, exist_ok=True)
        (upload.folder / "arrived.jsonl").touch()
        upload.touch()
    return upload


def uploads_of(dataset: str) -> list[Upload]:
    """Return the uploads that have brought files, by their ids."""
    names = sorted(path.parent.name for path in (home() / dataset).glob("incoming/*/arrived.jsonl"))
    found = [Upload(dataset, name) for name in names if not name.startswith(".")]
    return [upload for upload in found if upload.arrived() != Arrived()]


def _tidy(dataset: Path) -> None:
    """Delete what is a day old and of no use: unfinished files, and uploads that brought nothing."""
    for folder in (dataset, dataset / "images", dataset / "thumbs"):
        remove_leftovers(folder, TEMPORARY)
    for path in dataset.glob("incoming/*"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > LEFTOVER_AGE:
                shutil.rmtree(path / "parts", ignore_errors=True)
                listed = path / "arrived.jsonl"
                if path.name.startswith(".") or not listed.exists() or not listed.stat().st_size:
                    shutil.rmtree(path, ignore_errors=True)


@contextmanager
def incoming(dataset: str) -> Iterator[None]:
    """Let only this process change the uploads of a dataset, and the files that they share. Raises DatasetError."""
    folder = home() / dataset
    try:
        refuse_if_gone(folder)  # or the lock would make it
        with file_lock(folder / "incoming.lock", LOCKED_FOR):
            yield
    except Timeout:
        raise DatasetError("Files are being added by another process. Try again in a minute.") from None
