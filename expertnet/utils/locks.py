"""Locks on files, between threads, processes and, if the file system's locks work across them, hosts."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

if sys.platform == "win32":
    import msvcrt

    def _open(path: Path) -> int:
        return os.open(path, os.O_RDWR | os.O_CREAT)

    def _lock(handle: int, wait: bool) -> None:
        msvcrt.locking(handle, msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _open(path: Path) -> int:
        """Open a lock file, which every user of the folder may lock, whoever made it."""
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        except PermissionError:  # another user made it without these permissions, and a lock needs only to read
            return os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        with suppress(PermissionError):  # only its owner may
            os.fchmod(handle, 0o666)  # whatever the umask was
        return handle

    def _lock(handle: int, wait: bool) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextmanager
def file_lock(path: Path, wait: bool = True) -> Iterator[bool]:
    """Lock a file and yield True, or False if it is locked and `wait` is off. Raises OSError if it cannot be locked.

    The system releases the lock when the process ends in any way.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = _open(path)
    try:
        try:
            _lock(handle, wait)
            acquired = True
        except (BlockingIOError, PermissionError):
            if wait:
                raise
            acquired = False
        yield acquired
    finally:
        os.close(handle)
