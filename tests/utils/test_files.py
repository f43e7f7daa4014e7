"""Where write_atomically writes, and where it does not."""

import os

import pytest

from expertnet.utils.files import write_atomically


@pytest.mark.parametrize("there", [True, False])
def test_a_link_stays_and_what_it_leads_to_is_written(tmp_path, there):
    target, link = tmp_path / "elsewhere" / "target", tmp_path / "link"
    target.parent.mkdir()
    if there:
        target.write_bytes(b"old")
    link.symlink_to(target)
    write_atomically(link, b"new")
    assert link.is_symlink() and target.read_bytes() == b"new" and not target.is_symlink()
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: os.symlink(path, path)])
def test_what_is_no_regular_file_stays_as_it_is(tmp_path, make):
    path = tmp_path / "odd"
    make(path)
    before = path.lstat()
    with pytest.raises(OSError, match="no regular file"):
        write_atomically(path, b"new")
    assert path.lstat() == before and list(tmp_path.iterdir()) == [path]
