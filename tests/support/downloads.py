"""A folder of downloads and what it contains."""

import hashlib
from pathlib import Path


def md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def files_in(folder: Path) -> list[str]:
    """Return the names of the files in a folder, without those of locks."""
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".lock"))
