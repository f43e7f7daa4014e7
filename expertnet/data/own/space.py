"""Free the disk space of images that a dataset of yours no longer has.

Removing an image frees nothing, because Undo and older versions need its file. The space is free once the older versions are
deleted, an upload is discarded, or the dataset is deleted permanently.
"""

import json
from collections.abc import Callable

from expertnet.data.own.contents import Contents, difference
from expertnet.data.own.copies import remove_copies
from expertnet.data.own.datasets import locked
from expertnet.data.own.files import remove_others
from expertnet.data.own.folders import home
from expertnet.data.own.uploads import Upload, incoming, uploads_of
from expertnet.data.own.versions import open_version, read_log, sources
from expertnet.utils.files import write_atomically


def older_size(dataset: str) -> int:
    """Return the bytes of image files that only older versions have. Raises DatasetError."""
    log = read_log(dataset)
    return sum(log.sizes.values()) - log.latest.size


def delete_older_versions(dataset: str, named: Callable[[], set[str]]) -> int:
    """Keep the latest version only, and return the bytes that this frees. Raises DatasetError or OSError.

    Decoded images that no run needs go as well (`remove_copies`).
    """
    folder = home() / dataset
    with incoming(dataset), locked(folder):
        version = open_version(dataset)
        before = sources(version.log)
        patch = difference(Contents(), version.contents)
        line = {"version": version.number, "time": version.time, "what": version.what, "patch": patch}
        write_atomically(version.log, json.dumps(line).encode() + b"\n")
        return _remove_unused(dataset) + remove_copies(before, named)


def discard(upload: Upload) -> None:
    """Forget what has arrived of an upload, and free its space. Raises DatasetError or OSError."""
    with incoming(upload.dataset), locked(home() / upload.dataset):
        upload.end()
        _remove_unused(upload.dataset)


def _remove_unused(dataset: str) -> int:
    """Delete the image files that no version and no upload has."""
    arrived = {image["image"]["digest"] for upload in uploads_of(dataset) for image in upload.arrived().images}
    return remove_others(home() / dataset, arrived | read_log(dataset).sizes.keys())
