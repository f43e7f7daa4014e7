"""What was uploaded on the Train page: an archive, or a folder packed into one. It is kept until somebody deletes it.

Each is a file in `uploads/<digest>/` in the data folder, and beside it may be the id of the dataset that was made of it.
"""

import hashlib
import os
import re
import secrets
import shutil
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import IO

from expertnet.data.archives import entries
from expertnet.data.cache import data_root
from expertnet.data.class_folders import Layout
from expertnet.data.datasets import dataset_title
from expertnet.data.own.added import Added
from expertnet.data.own.datasets import create_dataset, delete_dataset, remove_dataset
from expertnet.data.own.folders import dataset_ids
from expertnet.data.own.intake import add_files
from expertnet.data.own.versions import find_version
from expertnet.data.sources import list_layout
from expertnet.utils.files import TEMPORARY, remove_leftovers, write_atomically
from expertnet.utils.progress import Report, never, silent

KEPT = ".dataset"  # a file beside an upload, with the id of its dataset; no upload has a name with a dot in front


@dataclass(frozen=True)
class Uploaded:
    """An upload that is kept."""

    path: Path
    title: str
    time: str  # ISO, UTC
    dataset: str  # the id of the one that was made of it, or ""


def _uploads() -> Path:
    return Path(os.path.abspath(data_root() / "uploads"))  # as runs name the paths of their images


def is_upload(dataset: str) -> bool:
    """Return whether a path was returned by save_upload or save_folder."""
    return Path(dataset).is_relative_to(_uploads())


def list_uploads() -> list[Uploaded]:
    """Return what was uploaded, newest first."""
    found = []
    for path in _uploads().glob("*/*"):
        if not path.name.startswith("."):
            with suppress(OSError):  # another tab may just have deleted it
                time = datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat()
                found.append(Uploaded(path, dataset_title(str(path)), time, _kept_as(path)))
    return sorted(found, key=lambda upload: (upload.time, upload.path), reverse=True)


def _kept_as(path: Path) -> str:
    with suppress(OSError, ValueError):
        dataset = (path.parent / KEPT).read_text()
        return dataset if find_version(dataset) else ""
    return ""


# --- save ------------------------------------------------------------------------------------------------------------


def save_upload(name: str, content: bytes) -> Path:
    """Save an uploaded archive in the data folder, in a folder named after its content. Returns its path. Raises OSError."""
    path = _place(name, hashlib.sha256(content).hexdigest())
    if not path.is_file():
        write_atomically(path, content)
    return path


def save_folder(name: str, files: Iterable[tuple[str, bytes]]) -> Path:
    """Save the files of an uploaded folder, by their paths in it, as `save_upload` does, in a zip that the same files give again.

    The files are taken one at a time, and no copy of them is held in memory.
    """

    def write(file: IO[bytes]) -> None:
        with zipfile.ZipFile(file, "w") as archive:  # stored, because images are compressed already
            for inside, content in files:
                archive.writestr(zipfile.ZipInfo(inside), content)

    _uploads().mkdir(parents=True, exist_ok=True)
    packed = _uploads() / f".{secrets.token_hex(8)}.tmp"
    write_atomically(packed, write)
    with packed.open("rb") as file:
        path = _place(name, hashlib.file_digest(file, "sha256").hexdigest())
    if path.is_file():  # the same file, or its images would be listed anew
        packed.unlink()
    else:
        os.replace(packed, path)
    return path


def _place(name: str, digest: str) -> Path:
    """Return the path of an upload, in a folder that is there, and delete what killed processes left."""
    # Only letters, digits and a few signs remain of the name, so that it cannot lead elsewhere.
    safe_name = re.sub(r"[^\w.()-]+", "_", re.split(r"[/\\]", name)[-1]).lstrip(".")[-60:] or "archive"
    for folder in ("", "*/"):
        remove_leftovers(_uploads(), f"{folder}{TEMPORARY}")
    path = _uploads() / digest[:16] / safe_name
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


# --- keep or delete --------------------------------------------------------------------------------------------------


def keep_upload(path: Path, progress: Report = silent) -> Added:
    """Make a dataset of yours, named after an upload, of the images that a training on it has. Raises DatasetError or OSError.

    The upload itself stays, because runs may need it.
    """
    layout = list_layout(path, progress, never)
    dataset = create_dataset(_free_title(dataset_title(str(path)))).dataset
    try:
        added = add_files(dataset, _images(path, layout), progress=progress)
        (path.parent / KEPT).write_text(dataset)
    except BaseException:  # also if the page is closed meanwhile
        remove_dataset(dataset)
        delete_dataset(dataset, set)
        raise
    return added


def _free_title(title: str) -> str:
    """Return a title, with a number if a dataset has it: "pets", "pets 2"."""
    versions = [version for dataset in dataset_ids() if (version := find_version(dataset))]
    taken = {version.contents.title.casefold() for version in versions}
    names = (title if number == 1 else f"{title} {number}" for number in count(1))
    return next(name for name in names if name.casefold() not in taken)


def _images(path: Path, layout: Layout) -> Iterator[tuple[str, bytes]]:
    """Yield the images of a layout by class and name, and by their part if the archive has the folders train and test."""
    has_parts = all(name.split("/")[-3:-2] == [part] for name, (part, _) in layout.images.items())
    for entry in entries(path):
        if entry.path in layout.images:
            yield "/".join(entry.path.split("/")[-3 if has_parts else -2 :]), entry.read()


def remove_upload(path: Path) -> None:
    """Delete an upload. Runs that were trained on it keep their decoded images. Raises OSError."""
    assert is_upload(str(path))
    path.unlink(missing_ok=True)
    if path.parent.is_dir() and all(other.name.startswith(".") for other in path.parent.iterdir()):
        shutil.rmtree(path.parent)
