"""Where the images of a dataset that is not built in are: a version of a dataset of yours, a folder or an archive."""

import os
from collections.abc import Iterator
from pathlib import Path

from expertnet.data.archives import Entry, entries
from expertnet.data.builtin import BUILTIN
from expertnet.data.own.versions import Version, find_version
from expertnet.settings.schema import DataSettings
from expertnet.utils.progress import ShouldStop, never, raise_if_cancelled

Source = Path | Version


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


def pinned(data: DataSettings) -> DataSettings:
    """Return settings that name the version of a dataset of yours, so that a run keeps it."""
    source = None if data.dataset in BUILTIN else find_source(data)
    return data.model_copy(update={"dataset": source.reference}) if isinstance(source, Version) else data
