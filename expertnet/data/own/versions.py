"""Read datasets of your own: every version, and the changes between them."""

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, partial
from hashlib import sha256
from pathlib import Path
from typing import Any

from expertnet.data.archives import Entry, read_file, read_or_nothing
from expertnet.data.own.contents import Contents, OwnImage
from expertnet.data.own.folders import REFERENCE, blob, log_of
from expertnet.data.own.log import damaged, lines
from expertnet.errors import DatasetError
from expertnet.utils.files import cached_on_file


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
    def key(self) -> tuple[str, str]:
        """What distinguishes it from a version of the same name of a dataset that was deleted since: ids of images are random."""
        return self.reference, next(iter(self.contents.images), "")

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

    @property
    def source(self) -> str:
        """What the keys of its decoded images begin with, at any size."""
        return f"own-{self.digest[:32]}"

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
        """Return the file of an image, b"" if it cannot be read."""
        return read_or_nothing(partial(read_file, self.path(image), image.size))

    @property
    def is_gone(self) -> bool:
        """Return whether the dataset was removed, or this version of it was deleted, since it was opened."""
        found = find_version(self.reference)
        return found is None or found.key != self.key

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
            yield Entry(self._inside(image), False, None, partial(read_file, self.path(image), image.size))

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


@dataclass(frozen=True)
class Log:
    """All that a dataset's log says, but for the contents of older versions."""

    latest: Version
    changes: list[Change]  # oldest first
    undo: list[int]  # versions that Undo goes back through, the current one last
    redo: list[int]  # versions that Redo goes forward to
    sizes: dict[str, int]  # bytes of the image files of all versions, by their digests

    def what(self, number: int) -> str:
        """Return in words the change that made a version."""
        return next(each.what for each in self.changes if each.number == number)


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
    latest = read_log(dataset).latest
    found = latest if number in (0, latest.number) else _older(latest.log, number)
    if found is None:
        raise DatasetError(f"{latest.contents.title} has no version {number}.")
    return found


def read_log(dataset: str) -> Log:
    """Return what the log of a dataset says, by the dataset's id. Raises DatasetError."""
    try:
        if not REFERENCE.fullmatch(dataset) or "@" in dataset:
            raise OSError
        return _read(log_of(dataset))
    except OSError:
        raise DatasetError(f"There is no dataset {dataset[:80]!r}. It was removed, or the name is mistyped.") from None
    except (KeyError, TypeError, AttributeError, ValueError):
        raise damaged(log_of(dataset)) from None


def history(dataset: str) -> list[Change]:
    """Return all changes, oldest first. Raises DatasetError."""
    return read_log(dataset).changes


def rejected_files(dataset: str) -> list[tuple[str, str]]:
    """Return the uploaded files that were no images, and why, those of the latest upload first. Raises DatasetError."""
    return [each for change in reversed(history(dataset)) for each in change.rejected]


def sources(log: Path) -> set[str]:
    """Return the `source` of every version in a log; of a damaged log, what can be read."""
    found = set[str]()
    with suppress(OSError, DatasetError, KeyError, TypeError, AttributeError, ValueError):
        for version, _ in _replayed(log):
            found.add(version.source)
    return found


@cached_on_file(maxsize=8)
def _read(log: Path) -> Log:
    """Read a log once for all that the pages ask of it: with many images, that takes a while."""
    version, changes, undo, redo, sizes = None, list[Change](), list[int](), list[int](), dict[str, int]()
    for version, line in _replayed(log):
        rejected = tuple((path, reason) for path, reason in line.get("rejected", ()))
        changes.append(Change(version.number, version.time, version.what, len(version.contents.images), rejected))
        images = line["patch"].get("images", {}).values()
        sizes |= {image["digest"]: image["size"] for image in images if image and "digest" in image}
        if "undoes" in line and len(undo) > 1:
            redo.append(undo.pop())
        elif "redoes" in line and redo:
            undo.append(redo.pop())
        else:
            undo.append(version.number)
            redo.clear()
    if version is None:
        raise damaged(log)
    return Log(version, changes, undo, redo, sizes)


@cached_on_file(maxsize=4)
def _older(log: Path, number: int) -> Version | None:
    return next((version for version, _ in _replayed(log) if version.number == number), None)


def _replayed(log: Path) -> Iterator[tuple[Version, dict[str, Any]]]:
    """Yield every version and its line. All have the same contents, which are those of the version that was yielded last."""
    contents = Contents()
    for line in lines(log):
        contents.apply(line["patch"])
        yield Version(log.parent.name, line["version"], line["time"], line["what"], contents, log.parent), line
