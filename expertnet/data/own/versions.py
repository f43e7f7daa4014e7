"""Read datasets of your own: every version, and the changes between them.

A dataset is the folder `datasets/<id>/` in the data folder:

    log.jsonl            an object a line: version, time, what, patch, and on undo or redo, of which version
    images/ab/<sha256>   the image files as they were uploaded, each once
    thumbs/ab/<sha256>   small JPEG copies
    incoming/<id>        files that have arrived and are in no version yet (uploads.py)

Until somebody deletes the older versions (space.py), files are only added and the log only grows. So a kill leaves the last version
whole, every change can be undone, and a version that a run was trained on stays as it was. (One reader, so some 260 lines.)
"""

import errno
import json
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, partial
from hashlib import sha256
from pathlib import Path

from expertnet.data.archives import Entry, read_file
from expertnet.data.cache import data_root
from expertnet.data.own.contents import Contents, OwnImage
from expertnet.data.own.log import damaged, lines
from expertnet.errors import DatasetError
from expertnet.utils.files import cached_on_file

REFERENCE = re.compile(r"([a-z0-9][a-z0-9-]{0,39})(?:@([1-9]\d{0,8}))?")  # such as flowers or flowers@3
TRASH = ".trash"


@dataclass(frozen=True)
class Version:
    """A dataset as it was after a change. Do not modify `contents`."""

    dataset: str  # id
    number: int
    time: str  # ISO, UTC
    what: str  # the change that made it, in words
    contents: Contents
    folder: Path

    @property
    def reference(self) -> str:
        """The name in settings, such as "flowers@3"."""
        return f"{self.dataset}@{self.number}"

    @property
    def name(self) -> str:
        return f"{self.contents.title}, version {self.number}"

    @cached_property
    def ordered(self) -> list[tuple[str, OwnImage]]:
        """The images with their ids, by the names of their classes and their own."""
        names = self.contents.classes
        return sorted(self.contents.images.items(), key=lambda item: (names[item[1].label], item[1].name))

    @cached_property
    def by_class(self) -> dict[str, list[tuple[str, OwnImage]]]:
        """The images with their ids, by the id of their class, in the order of their names."""
        found: dict[str, list[tuple[str, OwnImage]]] = {label: [] for label in self.contents.classes}
        for key, image in self.ordered:
            found[image.label].append((key, image))
        return found

    @cached_property
    def digest(self) -> str:
        """A digest of what a training sees of it: versions that differ in titles and file names only share it."""
        names = self.contents.classes
        seen = [[names[image.label], image.digest, image.split] for _, image in self.ordered]
        rule = ["validation images are held out"] if self.held else []  # earlier versions trained on them
        return sha256(json.dumps([sorted(names.values()), seen, *rule]).encode()).hexdigest()

    @cached_property
    def size(self) -> int:
        """Bytes of its image files, each counted once."""
        return sum({image.digest: image.size for image in self.contents.images.values()}.values())

    @property
    def log(self) -> Path:
        """The file that changes with the dataset."""
        return self.folder / "log.jsonl"

    def path(self, image: OwnImage) -> Path:
        """Return the file of an image."""
        return blob(self.folder, image.digest)

    def read(self, image: OwnImage) -> bytes:
        """Return the file of an image, b"" if it is missing. Raises OSError if the whole dataset was removed meanwhile."""
        data = read_file(self.path(image), image.size)
        # Or a training would skip the other images, and keep the rest as decoded
        if not data and not self.folder.is_dir():
            raise FileNotFoundError(errno.ENOENT, "the dataset was removed", str(self.folder))
        return data

    def members(self) -> dict[tuple[str, str], list[str]]:
        """Return the paths that `entries` yields, by part ("train", with validation, or "test") and class."""
        names, has_parts = self.contents.classes, self.has_parts
        found: dict[tuple[str, str], list[str]] = {("train", name): [] for name in names.values()}
        for _, image in self.ordered:
            part = "test" if has_parts and image.split == "test" else "train"
            found.setdefault((part, names[image.label]), []).append(self._inside(image))
        return found

    @cached_property
    def has_parts(self) -> bool:
        """Return whether it says which images are for the test."""
        return any(image.split == "test" for image in self.contents.images.values())

    @cached_property
    def held(self) -> frozenset[str]:
        """The paths of the images for validation, as `entries` yields them; empty if a share is drawn when a training begins."""
        return frozenset(self._inside(image) for _, image in self.ordered if image.split == "validation")

    @cached_property
    def by_path(self) -> dict[str, str]:
        """The ids of the images by the paths that `entries` yields."""
        return {self._inside(image): key for key, image in self.contents.images.items()}

    def entries(self) -> Iterator[Entry]:
        """Yield the images as files of class folders."""
        for _, image in self.ordered:
            yield Entry(self._inside(image), False, None, partial(self.read, image))

    def _inside(self, image: OwnImage) -> str:
        return f"{self.contents.classes[image.label]}/{image.name}"


@dataclass(frozen=True)
class Change:
    """A line of the log without its patch."""

    number: int
    time: str
    what: str
    images: int  # in the version that it made
    rejected: tuple[tuple[str, str], ...] = ()  # names of uploaded files that are no images, and why


def home() -> Path:
    """Return the folder of all datasets."""
    return data_root() / "datasets"


def blob(folder: Path, digest: str, kind: str = "images") -> Path:
    return folder / kind / digest[:2] / digest


def dataset_ids() -> list[str]:
    """Return the ids of all datasets, sorted."""
    return _ids(home())


def trashed_ids() -> list[str]:
    """Return the ids of removed datasets, sorted."""
    return _ids(home() / TRASH)


def _ids(folder: Path) -> list[str]:
    with suppress(OSError), os.scandir(folder) as found:
        names = [item.name for item in found if REFERENCE.fullmatch(item.name) and item.is_dir()]
        logs = {name: folder / name / "log.jsonl" for name in names}
        return sorted(name for name, log in logs.items() if log.is_file() and log.stat().st_size)
    return []


def find_version(reference: str) -> Version | None:
    """Return the version that a setting such as "flowers@3" names, the latest for "flowers"; None if there is none."""
    match = REFERENCE.fullmatch(reference)
    if not match:
        return None
    with suppress(OSError, DatasetError):
        return open_version(match[1], int(match[2] or 0))
    return None


def open_version(dataset: str, number: int = 0) -> Version:
    """Return a version of a dataset by its id, 0 for the latest. Raises DatasetError."""
    folder = home() / dataset
    try:
        if not REFERENCE.fullmatch(dataset) or "@" in dataset:
            raise OSError
        return _replayed(folder / "log.jsonl", number)
    except OSError:
        raise DatasetError(f"There is no dataset {dataset[:80]!r}. It was removed, or the name is mistyped.") from None


def find_id(text: str) -> str:
    """Return the id of a dataset by its id or title. Raises DatasetError."""
    ids = dataset_ids()
    if text in ids:
        return text
    titled = [name for name in ids if same_title(name, text)]
    if not titled:
        raise DatasetError(f"There is no dataset {text[:80]!r}. 'expertnet data list' names them all.")
    return titled[0]


def same_title(dataset: str, title: str) -> bool:
    """Return whether a dataset has a title, but for case. A damaged one has none."""
    known = find_version(dataset)
    return known is not None and known.contents.title.casefold() == title.casefold()


def history(dataset: str) -> list[Change]:
    """Return all changes, oldest first. Raises DatasetError."""
    open_version(dataset)
    return _history(home() / dataset / "log.jsonl")


@cached_on_file(maxsize=8)
def _replayed(log: Path, number: int) -> Version:
    contents, last = Contents(), None
    try:
        for line in lines(log):
            contents.apply(line["patch"])
            last = line
            if line["version"] == number:
                break
        if last is None or number not in (0, last["version"]):
            raise DatasetError(f"{contents.title or log.parent.name} has no version {number}.")
        return Version(log.parent.name, last["version"], last["time"], last["what"], contents, log.parent)
    except (KeyError, TypeError, AttributeError):
        raise damaged(log) from None


@cached_on_file(maxsize=32)
def _history(log: Path) -> list[Change]:
    contents, changes = Contents(), []
    for line in lines(log):
        contents.apply(line["patch"])
        rejected = tuple((path, reason) for path, reason in line.get("rejected", ()))
        changes.append(Change(line["version"], line["time"], line["what"], len(contents.images), rejected))
    return changes


def steps(dataset: str) -> tuple[list[int], list[int]]:
    """Return the versions that Undo goes back through, the current one last, and those that Redo goes forward to."""
    return _steps(home() / dataset / "log.jsonl")


@cached_on_file(maxsize=32)
def _steps(log: Path) -> tuple[list[int], list[int]]:
    undo, redo = list[int](), list[int]()
    for line in lines(log):
        if "undoes" in line and len(undo) > 1:
            redo.append(undo.pop())
        elif "redoes" in line and redo:
            undo.append(redo.pop())
        else:
            undo.append(line["version"])
            redo.clear()
    return undo, redo
