"""Delete the decoded images of datasets of yours, which show what was removed long after the image files are gone."""

import os
import secrets
import shutil
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from expertnet.data.cache import UNFINISHED, data_root
from expertnet.data.own.folders import dataset_ids
from expertnet.data.own.versions import find_version

USERS = "users"  # a folder beside the images, with an empty file for each run that was trained on them


def keep_copy(key: str, run: str) -> None:
    """Note that a run (its id) trains on decoded images of a dataset of yours, so that they stay until `release_copy`.

    The run may be in any folder of runs. Nothing is noted where this user cannot write.
    """
    folder = _folder(key)
    if key.startswith("own-") and folder.is_dir():
        with suppress(OSError):
            (folder / USERS).mkdir(exist_ok=True)
            (folder / USERS / run).touch()


def release_copy(key: str, run: str) -> None:
    """Note that a run is deleted permanently."""
    with suppress(OSError):
        (_folder(key) / USERS / run).unlink()


def source_of_copy(key: str) -> str:
    """Return what the keys of all copies of a version begin with, whatever their size: `Version.source`."""
    return "-".join(key.split("-")[:2])


def remove_copies(sources: Iterable[str], named: Callable[[], set[str]]) -> int:
    """Delete the decoded images of versions, by their `source`, that no run needs, and return the bytes that this frees.

    Runs need them because their version may be gone. Those that `keep_copy` has noted count, and those of this store, of which
    `named` returns keys or sources. What the latest versions have stays, because the next training needs it.
    """
    wanted = {*sources} - {version.source for version in map(find_version, dataset_ids()) if version}
    found = [folder for folder in _folder("").glob("own-*") if source_of_copy(folder.name) in wanted]
    kept, freed = named() if found else set(), 0
    for folder in found:
        if kept & {folder.name, source_of_copy(folder.name)} or any((folder / USERS).glob("*")):
            continue
        with suppress(OSError):  # in use, on some systems
            size = sum(file.stat().st_size for file in folder.iterdir())
            gone = folder.with_name(f"{UNFINISHED}{secrets.token_hex(8)}")
            os.rename(folder, gone)  # or a kill would leave a part
            shutil.rmtree(gone, ignore_errors=True)
            freed += size
    return freed


def _folder(key: str) -> Path:
    return data_root() / "decoded" / key
