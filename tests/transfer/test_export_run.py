"""Exports of runs."""

import pytest

from expertnet.errors import RunError
from expertnet.settings.fields import build_settings
from expertnet.store.run_store import RunStore
from tests.support.exports import contents, exported
from tests.support.opening import TINY


def test_an_export_contains_no_pickle(source):
    assert (source.path / "resume.pt").is_file()
    assert not any(name.endswith(".pt") for name in contents(exported(source)))


def test_a_damaged_run_is_not_exported():
    run = RunStore().create(build_settings("quick", "digits", TINY))
    (run.path / "status.json").write_bytes(b"{")
    with pytest.raises(RunError, match="damaged"):
        exported(run)


def test_the_path_of_a_dataset_is_not_exported():
    run = RunStore().create(build_settings("quick", "digits", TINY))
    run.write_config(run.config() | {"data": run.config()["data"] | {"dataset": "/home/me/birds"}})
    assert b"/home" not in contents(exported(run))["config.json"]
