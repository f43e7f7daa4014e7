"""Writing files so that a kill at any instant leaves them whole.

In this module: write_atomically, overwrite (for a full disk), os_error_sentence, version_of (to know a file that was read before),
read_json, to_json.
"""

from __future__ import annotations

import errno
import json
import math
import os
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic_core import from_json  # three times quicker than json on a history

FULL = (errno.ENOSPC, errno.EDQUOT)


def write_atomically(path: Path, write: Callable[[Any], None] | bytes) -> None:
    """A kill at any instant leaves either the old file or the new one. A link stays, and the file it leads to is written.

    Raises OSError, for a folder, a device or a pipe too: the new file would take its place.
    """
    path = Path(os.path.realpath(path))
    if os.path.lexists(path) and not path.is_file():
        raise OSError(errno.EEXIST, "it is no regular file", str(path))
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            if callable(write):
                write(file)
            else:
                file.write(write)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)  # a full disk needs the room
        raise


def overwrite(path: Path, data: bytes) -> None:
    """Writes over a file in the room that it has on the disk, for want of room for another; a kill meanwhile may tear it."""
    with path.open("r+b") as file:
        file.write(data)
        file.truncate()
        file.flush()
        os.fsync(file.fileno())


def os_error_sentence(error: OSError) -> str:
    """What the system refused, in one sentence with what would mend it."""
    where = str(error.filename or "a file of it")
    if error.errno in FULL:
        return "The disk is full; make room and go on."
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{where} cannot be written ({error.strerror}); give the user that the app runs as the right to write there."
    return f"{where} could not be used ({error.strerror}); check its path and your rights to it."


def version_of(path: Path | str) -> tuple[int, int, int]:
    """Another value once the file is replaced or appended to; its time alone would not do, as its tick is milliseconds long."""
    status = os.stat(path)
    return status.st_mtime_ns, status.st_ino, status.st_size


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object, read again only when the file has changed; not to be altered. Raises OSError, or ValueError for anything else."""
    return _read_json(path, version_of(path))


@lru_cache(maxsize=4096)
def _read_json(path: Path, version: tuple[int, ...]) -> dict[str, Any]:
    value = from_json(path.read_bytes())
    if not isinstance(value, dict):
        raise ValueError(f"{path.name} is no JSON object")
    return value


def to_json(value: Any) -> str:
    """JSON in which a number that is not finite is null."""

    def clean(item: Any) -> Any:
        if isinstance(item, float):
            return item if math.isfinite(item) else None
        if isinstance(item, Mapping):
            return {key: clean(inner) for key, inner in item.items()}
        return [clean(inner) for inner in item] if isinstance(item, list | tuple) else item

    return json.dumps(clean(value), allow_nan=False)
