"""Every page opens on an empty store, a running, a finished, a failed and a damaged run, and a bad URL."""

import os
import subprocess

import pytest

from expertnet.store.run_store import RunStore
from expertnet.ui.shell import PAGES
from tests.support.opening import finished, opened
from tests.support.stores import bare, damaged, failed, odd, running


def empty(store):
    return None


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("make", [empty, running, finished, failed, damaged, odd, bare])
def test_page_opens(page, make):
    run = make(RunStore())
    opened(page)
    if run is not None:
        opened(page, run.id)


@pytest.mark.parametrize("page", ["train", "experts", "predict"])
@pytest.mark.parametrize("run", ["../../etc", "20200101-000000-abcd", "<script>", ""])
def test_a_url_of_no_run_gets_a_message(page, run):
    test = opened(page, run)
    assert run == "" or any("There is no run" in said.value for said in (*test.error, *test.toast))


def test_an_empty_store_suggests_training():
    for page in ("runs", "experts", "predict"):
        assert any("rain" in info.value for info in opened(page).info)


def test_a_damaged_run_is_called_damaged():
    run = damaged(RunStore())
    assert any("damaged" in error.value for error in opened("train", run.id).error)
    assert any("damaged" in error.value for error in opened("experts", run.id).error)


def test_a_read_only_store_gets_a_message_and_pages_open(tmp_path):
    finished(RunStore())
    read_only = not os.geteuid() and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", RunStore().root], check=False
    )
    if os.geteuid():
        RunStore().root.chmod(0o500)
    elif read_only.returncode:
        pytest.skip("root can write everywhere, and cannot mount a disk here")
    try:
        test = opened("train", "none")
        test.button(key="start").click().run()
        assert not test.exception and any("write access" in error.value for error in test.error)
        opened("runs")
    finally:
        if os.geteuid():
            RunStore().root.chmod(0o700)
        else:
            subprocess.run(["umount", RunStore().root], check=True)
