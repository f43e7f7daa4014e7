"""Atomic writes, and leftovers of killed processes."""

import os
import stat
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from expertnet.utils.files import cached_on, cached_on_file, remove_leftovers, write_atomically


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


@pytest.mark.slow
def test_threads_that_write_one_file_never_tear_it(tmp_path):
    path, contents = tmp_path / "file", [bytes([letter]) * 50_000 for letter in b"abcd"]
    write_atomically(path, contents[0])
    with ThreadPoolExecutor(4) as pool:
        writes = [pool.submit(write_atomically, path, contents[number % 4]) for number in range(200)]
        while not all(write.done() for write in writes):
            assert path.read_bytes() in contents
        assert [write.result() for write in writes] == [None] * 200
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_is_on_the_disk_before_its_name_and_its_folder_after(tmp_path, monkeypatch):
    """Or a power cut leaves an empty file under the name, or the old one after another file names the new one."""
    events, sync, rename = [], os.fsync, os.replace

    def synced(handle):
        events.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file")
        sync(handle)

    def renamed(old, new):
        events.append("rename")
        rename(old, new)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", renamed)
    write_atomically(tmp_path / "file", b"new")
    assert events == ["file", "rename", "folder"] and (tmp_path / "file").read_bytes() == b"new"


def test_leftovers_are_deleted_after_a_day(tmp_path):
    hour, now = 3600, time.time()
    for name in ("old.part", "new.part", "old.txt"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "folder.part").mkdir()
    (tmp_path / "folder.part" / "inside").write_bytes(b"x")
    for name in ("old.part", "old.txt", "folder.part"):
        os.utime(tmp_path / name, (now - 25 * hour,) * 2)
    os.utime(tmp_path / "new.part", (now - 23 * hour,) * 2)
    remove_leftovers(tmp_path, "*.part")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new.part", "old.txt"]


def test_a_function_is_computed_again_when_the_version_of_its_arguments_changes():
    versions, computed = {"a": 1, "b": 1}, []

    @cached_on(versions.get, maxsize=2)
    def known(name):
        computed.append(name)
        return f"{name} {versions[name]}"

    assert known("a") == known("a") == "a 1" and known("b") == "b 1"
    versions["a"] = 2
    assert known("a") == "a 2" and known("b") == "b 1" and computed == ["a", "b", "a"]


def test_a_function_of_a_file_is_computed_again_when_the_file_changes(tmp_path):
    computed = []

    @cached_on_file(maxsize=2)
    def first_words(path, count):
        computed.append(count)
        return path.read_text().split()[:count]

    path = tmp_path / "words"
    with pytest.raises(FileNotFoundError):
        first_words(path, 1)
    path.write_text("one two three")
    assert first_words(path, 2) == first_words(path, 2) == ["one", "two"] and first_words(path, 1) == ["one"]
    write_atomically(path, b"six two three")
    assert first_words(path, 2) == ["six", "two"] and computed == [2, 1, 2]
