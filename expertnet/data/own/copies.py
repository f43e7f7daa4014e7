"""Delete the decoded images of datasets of yours, which show what was removed long after the image files are gone."""

import os
import secrets
import shutil
from collections.abc import Iterable
from contextlib import suppress

from expertnet.data.cache import UNFINISHED, data_root
from expertnet.data.own.folders import dataset_ids
from expertnet.data.own.versions import find_version


def remove_copies(named: Iterable[str]) -> int:
    """Delete all decoded images but those of the latest versions, and return the bytes that this frees.

    `named` are the keys of the images that runs were trained on, or the sources of their versions: these stay, because their
    version may be gone. An older version that is still there is decoded again when it is needed.
    """
    latest = [version.source for version in map(find_version, dataset_ids()) if version]
    kept, freed = {*named, *latest}, 0
    for folder in (data_root() / "decoded").glob("own-*"):
        source = "-".join(folder.name.split("-")[:2])
        if kept & {folder.name, source}:
            continue
        with suppress(OSError):  # in use, on some systems
            size = sum(file.stat().st_size for file in folder.iterdir())
            gone = folder.with_name(f"{UNFINISHED}{secrets.token_hex(8)}")
            os.rename(folder, gone)  # or a kill would leave a part
            shutil.rmtree(gone, ignore_errors=True)
            freed += size
    return freed
