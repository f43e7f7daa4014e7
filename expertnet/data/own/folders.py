"""Where datasets of your own are: each is the folder `datasets/<id>/` in the data folder.

    log.jsonl            an object a line: version, time, what, patch, and on undo or redo, of which version
    images/ab/<sha256>   the image files as they were uploaded, each once
    thumbs/ab/<sha256>   small JPEG copies
    incoming/<id>        files that have arrived and are in no version yet (uploads.py)

Until somebody deletes the older versions (space.py), files are only added and the log only grows. So a kill leaves the last version
whole, every change can be undone, and a version that a run was trained on stays as it was.
"""

import os
import re
from contextlib import suppress
from pathlib import Path

from expertnet.data.cache import data_root

REFERENCE = re.compile(r"([a-z0-9][a-z0-9-]{0,39})(?:@([1-9]\d{0,8}))?")  # such as flowers or flowers@3


def is_version(dataset: str) -> bool:
    """Return whether a setting names a version of a dataset, such as flowers@3, which need not exist, and no path."""
    return REFERENCE.fullmatch(dataset) is not None and "@" in dataset


TRASH = ".trash"


def home() -> Path:
    """Return the folder of all datasets."""
    return data_root() / "datasets"


def log_of(dataset: str) -> Path:
    """Return the file that changes with a dataset."""
    return home() / dataset / "log.jsonl"


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
