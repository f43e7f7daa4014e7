"""Free the disk space of images that a dataset of yours no longer has.

Removing an image frees nothing, because Undo and older versions need its file. The space is free once the older versions are
deleted, an upload is discarded, or the dataset is deleted permanently.
"""

import json
from pathlib import Path

from expertnet.data.own.contents import Contents, difference
from expertnet.data.own.datasets import locked
from expertnet.data.own.files import remove_others
from expertnet.data.own.log import lines
from expertnet.data.own.uploads import Upload, incoming, uploads_of
from expertnet.data.own.versions import home, open_version
from expertnet.utils.files import cached_on_file, write_atomically


def older_size(dataset: str) -> int:
    """Return the bytes of image files that only older versions have. Raises DatasetError."""
    latest = {image.digest for image in open_version(dataset).contents.images.values()}
    return sum(size for digest, size in _sizes(home() / dataset / "log.jsonl").items() if digest not in latest)


@cached_on_file(maxsize=8)
def _sizes(log: Path) -> dict[str, int]:
    """Return the sizes of the image files of all versions, by their digests."""
    images = [image for line in lines(log) for image in line["patch"].get("images", {}).values() if image]
    return {image["digest"]: image["size"] for image in images if "digest" in image}


def delete_older_versions(dataset: str) -> int:
    """Keep the latest version only, and return the bytes that this frees. Raises DatasetError or OSError."""
    folder = home() / dataset
    with incoming(dataset), locked(folder):
        version = open_version(dataset)
        patch = difference(Contents(), version.contents)
        line = {"version": version.number, "time": version.time, "what": version.what, "patch": patch}
        write_atomically(version.log, json.dumps(line).encode() + b"\n")
        return _remove_unused(dataset)


def discard(upload: Upload) -> None:
    """Forget what has arrived of an upload, and free its space. Raises DatasetError or OSError."""
    with incoming(upload.dataset), locked(home() / upload.dataset):
        upload.end()
        _remove_unused(upload.dataset)


def _remove_unused(dataset: str) -> int:
    """Delete the image files that no version and no upload has."""
    folder = home() / dataset
    arrived = {image["image"]["digest"] for upload in uploads_of(dataset) for image in upload.arrived().images}
    return remove_others(folder, arrived | set(_sizes(folder / "log.jsonl")))
