"""Write files so that a kill at any instant leaves them intact, and read JSON."""

import errno
import json
import math
import os
import secrets
import shutil
import time
from collections.abc import Callable, Hashable, Mapping
from contextlib import suppress
from functools import lru_cache, wraps
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, TypeVar, TypeVarTuple

from filelock import FileLock
from pydantic_core import from_json  # three times as fast as json on metrics.jsonl

FULL = (errno.ENOSPC, errno.EDQUOT)
UNWRITABLE = (*FULL, errno.EACCES, errno.EPERM, errno.EROFS)
TEMPORARY = ".*.tmp"  # files that write_atomically has not finished
FOR_ALL_USERS = 0o666  # mode of a lock file, whatever the umask: a `sudo` command must not lock a service out
LEFTOVER_AGE = 24 * 3600.0  # seconds after which no process is still writing a temporary file

Arguments = TypeVarTuple("Arguments")
Others = TypeVarTuple("Others")
T = TypeVar("T")


def write_atomically(path: Path, write: Callable[[Any], None] | bytes, sync: bool = True) -> None:
    """Write a file so that a kill at any instant leaves the old content or the new, and so does a power cut with `sync`.

    A link is followed. Raises OSError, also for a folder, device or pipe, which would be replaced otherwise.
    """
    path = _regular(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        with temporary.open("wb") as file:
            if callable(write):
                write(file)
            else:
                file.write(write)
            if sync:
                file.flush()
                os.fsync(file.fileno())
        os.replace(temporary, path)
        if sync:
            _sync_folder(path.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)  # a full disk needs the space
        raise


def check_writable(path: Path) -> None:
    """Raise the OSError now that `write_atomically` would raise after the work for the content."""
    TemporaryFile(dir=_regular(path).parent).close()


def _regular(path: Path) -> Path:
    """Return where a path leads. Raises OSError for a folder, device or pipe."""
    path = Path(os.path.realpath(path))
    if os.path.lexists(path) and not path.is_file():
        raise OSError(errno.EEXIST, "it is not a regular file", str(path))
    return path


def _sync_folder(folder: Path) -> None:
    """Make a rename survive a power cut, where the system can open and sync folders."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def overwrite(path: Path, data: bytes) -> None:
    """Overwrite a file in place, for a disk without space for a second copy. A kill meanwhile may tear the file."""
    with path.open("r+b") as file:
        file.write(data)
        file.truncate()
        file.flush()
        os.fsync(file.fileno())


def file_lock(path: Path, timeout: float = -1.0) -> FileLock:
    """Return the lock of a file, for every user and process. `timeout` in seconds; -1 waits until it is free."""
    return FileLock(path, timeout, mode=FOR_ALL_USERS, thread_local=False)


def remove_leftovers(folder: Path, pattern: str) -> None:
    """Delete the files and folders in `folder` that match `pattern` and are over 24 hours old."""
    for path in folder.glob(pattern):
        with suppress(OSError):  # another process may delete it first
            if time.time() - path.stat().st_mtime < LEFTOVER_AGE:
                continue
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


def os_error_sentence(error: OSError) -> str:
    """Explain an OSError to users, with what to do about it."""
    path = str(error.filename or "A file")
    if error.errno in FULL:
        return "The disk is full. Free some space, then try again."
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{path} cannot be written ({error.strerror}). Give the user that runs the app write access."
    return f"{path} cannot be used ({error.strerror}). Check its path and permissions."


def version_of(path: Path | str) -> tuple[int, int, int]:
    """Return a value that changes when the file is replaced or grows. Its time alone is too coarse (milliseconds)."""
    status = os.stat(path)
    return status.st_mtime_ns, status.st_ino, status.st_size


def cached_on(
    version: Callable[[*Arguments], Hashable], maxsize: int
) -> Callable[[Callable[[*Arguments], T]], Callable[[*Arguments], T]]:
    """Cache a function of hashable arguments until their `version` changes, which is computed at every call."""

    def decorate(function: Callable[[*Arguments], T]) -> Callable[[*Arguments], T]:
        @lru_cache(maxsize=maxsize)
        def cached(version: Hashable, *arguments: *Arguments) -> T:
            return function(*arguments)

        @wraps(function)
        def current(*arguments: *Arguments) -> T:
            return cached(version(*arguments), *arguments)

        return current

    return decorate


def cached_on_file(maxsize: int) -> Callable[[Callable[[Path, *Others], T]], Callable[[Path, *Others], T]]:
    """Cache a function of a file's path, and of other hashable arguments, until the file changes.

    The decorated function also raises OSError if there is no such regular file; reading a pipe would block.
    """

    def version(path: Path, *others: *Others) -> tuple[int, int, int]:
        return version_of(path)

    def decorate(function: Callable[[Path, *Others], T]) -> Callable[[Path, *Others], T]:
        @cached_on(version, maxsize)
        @wraps(function)
        def read(path: Path, *others: *Others) -> T:
            if not path.is_file():
                raise OSError(errno.EINVAL, "it is not a regular file", str(path))
            return function(path, *others)

        return read

    return decorate


@cached_on_file(maxsize=1024)
def read_json(path: Path) -> dict[str, Any]:
    """Return a file's JSON object, cached until the file changes; do not modify it.

    Raises OSError, or ValueError if the content is not a JSON object.
    """
    value = from_json(path.read_bytes())
    if not isinstance(value, dict):
        raise ValueError(f"{path.name} is not a JSON object")
    return value


def to_json(value: Any) -> str:
    """Return JSON with null for every number that is not finite."""

    def clean(item: Any) -> Any:
        if isinstance(item, float):
            return item if math.isfinite(item) else None
        if isinstance(item, Mapping):
            return {key: clean(inner) for key, inner in item.items()}
        return [clean(inner) for inner in item] if isinstance(item, list | tuple) else item

    return json.dumps(clean(value), allow_nan=False)
