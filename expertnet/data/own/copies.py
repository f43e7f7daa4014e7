"""Delete the decoded images of datasets of yours, which show what was removed long after the image files are gone."""

import json
import os
import secrets
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from expertnet.data.cache import UNFINISHED, data_root
from expertnet.data.own.folders import TRASH, dataset_ids
from expertnet.data.own.versions import find_version

USERS = "users.jsonl"  # beside the images: the folder of each run that was trained on them, as a JSON string


def keep_copy(key: str, run: Path) -> None:
    """Note that a run was trained on decoded images of a dataset of yours, so that they stay as long as it does.

    The run may be in any folder of runs. Nothing is noted in a folder that this user cannot write.
    """
    folder, line = data_root() / "decoded" / key, json.dumps(str(run.resolve()))
    if key.startswith("own-") and folder.is_dir() and line not in _users(folder):
        with suppress(OSError), (folder / USERS).open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")


def remove_copies(named: Iterable[str]) -> int:
    """Delete all decoded images but those of the latest versions and those that runs need; return the bytes that this frees.

    Runs need them because their version may be gone. `named` are the keys of the images that the runs of this store were trained
    on, or the sources of their versions; `keep_copy` has noted those of other stores. An older version that is still there is
    decoded again when it is needed.
    """
    latest = [version.source for version in map(find_version, dataset_ids()) if version]
    kept, freed = {*named, *latest}, 0
    for folder in (data_root() / "decoded").glob("own-*"):
        source = "-".join(folder.name.split("-")[:2])
        if kept & {folder.name, source} or any(map(_may_exist, _users(folder))):
            continue
        with suppress(OSError):  # in use, on some systems
            size = sum(file.stat().st_size for file in folder.iterdir())
            gone = folder.with_name(f"{UNFINISHED}{secrets.token_hex(8)}")
            os.rename(folder, gone)  # or a kill would leave a part
            shutil.rmtree(gone, ignore_errors=True)
            freed += size
    return freed


def _users(folder: Path) -> list[str]:
    with suppress(OSError, ValueError):
        return (folder / USERS).read_text(encoding="utf-8").splitlines()
    return []


def _may_exist(line: str) -> bool:
    """Return whether a run is in its store or in the trash there, or its store cannot be seen now, like that of another disk."""
    with suppress(ValueError):
        run = Path(json.loads(line))
        return run.is_dir() or (run.parent / TRASH / run.name).is_dir() or not run.parent.is_dir()
    return False
