"""Where the images of a dataset that is not built in are: a version of a dataset of yours, a folder or an archive."""

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path

from expertnet.data.archives import Entry, entries
from expertnet.data.builtin import BUILTIN
from expertnet.data.class_folders import Layout, arrange
from expertnet.data.images import SUFFIXES
from expertnet.data.own.layout import layout_of
from expertnet.data.own.versions import Version, find_version
from expertnet.errors import DatasetError
from expertnet.settings.schema import DataSettings
from expertnet.utils.progress import Report, ShouldStop, never, raise_if_cancelled

Source = Path | Version
LOOKED_AT = 1000  # entries of a folder that may be one class of its parent


def find_source(data: DataSettings) -> Source:
    """Return the version that "flowers@3" names, and for "flowers" the path, or the latest version if there is no such path."""
    path = Path(os.path.expanduser(data.dataset))  # Path.expanduser raises for unknown users
    version = find_version(data.dataset)
    return version if version is not None and ("@" in data.dataset or not os.path.lexists(path)) else path


def list_entries(source: Source, cancelled: ShouldStop = never) -> Iterator[Entry]:
    """Yield the files. Raises Cancelled, or DatasetError as `archives.entries` does."""
    if isinstance(source, Path):
        yield from entries(source, cancelled)
        return
    for entry in source.entries():
        raise_if_cancelled(cancelled)
        yield entry


def any_readable(source: Source, cancelled: ShouldStop, files: list[str]) -> bool:
    """Return whether any of these files of a dataset can be read. Raises as `list_entries` does."""
    wanted = {*files}
    for entry in list_entries(source, cancelled):
        with suppress(OSError):
            if entry.path in wanted:
                entry.read()
                return True
    return False


def pinned(data: DataSettings) -> DataSettings:
    """Return settings that name the version of a dataset of yours, or the absolute path of a folder or archive, for a run to keep.

    A path that does not exist stays as it is.
    """
    if data.dataset in BUILTIN:
        return data
    source = find_source(data)
    if isinstance(source, Path) and not os.path.exists(source):
        return data
    name = source.reference if isinstance(source, Version) else os.path.abspath(source)
    return data.model_copy(update={"dataset": name})


def list_layout(path: Source, progress: Report, cancelled: ShouldStop) -> Layout:
    """List a folder or archive and arrange its files by class. Raises DatasetError, Cancelled or OSError."""
    if isinstance(path, Version):
        return layout_of(path)
    found, folders = [], {path}
    for entry in list_entries(path, cancelled):
        found.append((entry.path, entry.is_folder))
        if entry.is_folder and entry.place:
            folders.add(entry.place)
        if len(found) % 500 == 1:
            progress(f"Listing {path.name}", entry.share)
    try:
        return replace(arrange(found, path.name), folders=frozenset(folders) if path.is_dir() else frozenset())
    except DatasetError as error:
        parent, classes = _parent_meant(path)
        if parent is None:
            raise
        question = f"Did you mean its parent, {parent.name}, with {classes} classes?"
        raise DatasetError(f"{error} {question}", parent) from None


def _parent_meant(path: Path) -> tuple[Path | None, int]:
    """Return the parent of a folder and the number of its classes if the folder looks like one of them, or else None and 0."""

    def has_image(folder: Path) -> bool:
        return any(file.suffix.lower() in SUFFIXES and file.is_file() for file in islice(folder.iterdir(), LOOKED_AT))

    try:
        path = path.resolve()
        if not path.is_dir() or not has_image(path):
            return None, 0
        classes = sum(folder.is_dir() and has_image(folder) for folder in islice(path.parent.iterdir(), LOOKED_AT))
    except OSError:
        return None, 0
    return (path.parent, classes) if classes > 1 else (None, 0)
