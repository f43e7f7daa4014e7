"""Locks that every user of a folder can take, whoever made their files."""

import os
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest

from expertnet.utils.locks import file_lock

NOBODY = 65534


@pytest.fixture
def folder():
    """A folder that another user can enter."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o777)
        yield Path(name)


@contextmanager
def another_user():
    """Act as another user, if this one is root; any other may not write its own file without that permission either."""
    if os.geteuid():
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_lock_that_another_user_made_can_be_taken_and_excludes(folder):
    path = folder / "queue.lock"
    path.touch()
    path.chmod(0o444)
    with another_user(), file_lock(path, wait=False) as theirs:
        assert theirs
        with file_lock(path, wait=False) as again:
            assert not again
    with file_lock(path) as mine, another_user(), file_lock(path, wait=False) as theirs:
        assert mine and not theirs


def test_a_new_lock_can_be_written_by_every_user(folder):
    mask = os.umask(0o077)
    try:
        with file_lock(folder / "queue.lock") as acquired:
            assert acquired
    finally:
        os.umask(mask)
    assert (folder / "queue.lock").stat().st_mode & 0o777 == 0o666


def test_a_lock_that_cannot_be_opened_is_an_error_and_a_link_is_not_followed(folder):
    path = folder / "queue.lock"
    path.touch()
    path.chmod(0)
    with another_user(), pytest.raises(PermissionError), file_lock(path):
        pass
    (folder / "link.lock").symlink_to(folder / "precious")
    with pytest.raises(OSError, match="symbolic link"), file_lock(folder / "link.lock"):
        pass
    assert not (folder / "precious").exists()
