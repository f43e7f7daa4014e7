"""Atomic writes, and leftovers of killed processes."""

import os

import pytest

from expertnet.utils.files import remove_leftovers, write_atomically


@pytest.mark.parametrize("exists", [True, False])
def test_a_link_remains_and_its_target_is_written(tmp_path, exists):
    target, link = tmp_path / "elsewhere" / "target", tmp_path / "link"
    target.parent.mkdir()
    if exists:
        target.write_bytes(b"old")
    link.symlink_to(target)
    write_atomically(link, b"new")
    assert link.is_symlink() and target.read_bytes() == b"new" and not target.is_symlink()
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: os.symlink(path, path)])
def test_a_folder_pipe_or_looping_link_is_not_replaced(tmp_path, make):
    path = tmp_path / "odd"
    make(path)
    before = path.lstat()
    with pytest.raises(OSError, match="not a regular file"):
        write_atomically(path, b"new")
    assert path.lstat() == before and list(tmp_path.iterdir()) == [path]


def test_leftovers_are_deleted_after_a_day(tmp_path):
    for name in ("old.part", "new.part", "old.txt"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "folder.part").mkdir()
    (tmp_path / "folder.part" / "inside").write_bytes(b"x")
    for name in ("old.part", "old.txt", "folder.part"):
        os.utime(tmp_path / name, (1, 1))
    remove_leftovers(tmp_path, "*.part")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new.part", "old.txt"]
