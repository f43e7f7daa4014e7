"""Exports of runs."""

import json
from pathlib import Path

import pytest

from expertnet.errors import RunError
from expertnet.settings.fields import build_settings
from expertnet.store.run_store import RunStore
from expertnet.transfer.paths import without_paths
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


def of_own_images(dataset, root=None):
    run = RunStore(root).create(build_settings("quick", "digits", TINY))
    run.write_config(run.config() | {"data": run.config()["data"] | {"dataset": dataset}})
    return run


def test_a_log_is_exported_without_paths_and_tracebacks():
    """Also one of an earlier version, which says what the dataset's path is."""
    home = Path.home()
    run = of_own_images(f"{home}/my pictures/birds.zip")
    log = f"""\
2026-11-24T12:33:20+00:00  Started: {home}/my pictures/birds.zip, 1,295 training images, CPU, 2 threads.
2026-11-24T12:34:26+00:00  Failed: {home}/my pictures/birds.zip cannot be used (Permission denied).
Traceback (most recent call last):
  File "/srv/studio/expertnet/training/runner.py", line 64, in run_training
OSError: 2026-11-24 '{home}/my pictures/birds.zip'

2026-11-24T12:35:20+00:00  Failed: {run.path}/last.safetensors cannot be written.
"""
    (run.path / "log.txt").write_text(log)
    run.write_status(run.status().changed(state="failed", error=f"{home}/my pictures/birds.zip cannot be used."))
    files = contents(exported(run))
    assert files["log.txt"].decode().splitlines() == [
        "2026-11-24T12:33:20+00:00  Started: birds, 1,295 training images, CPU, 2 threads.",
        "2026-11-24T12:34:26+00:00  Failed: birds cannot be used (Permission denied).",
        f"2026-11-24T12:35:20+00:00  Failed: {run.id}/last.safetensors cannot be written.",
    ]
    assert json.loads(files["status.json"])["error"] == "birds cannot be used."
    for content in files.values():
        assert not any(part in content for part in (str(home).encode(), b"my pictures", b"/srv", b"Traceback"))
    assert "Traceback" in run.log_tail()  # of the run itself


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "OSError: [Errno 2] No such file: '/mnt/disk/cache/x.npy'. Try again.",
            "OSError: [Errno 2] No such file: 'x.npy'. Try again.",
        ),
        (r"“C:\\Users\\me\\x.npy” (D:\data\y) is gone", "“x.npy” (y) is gone"),
        ("~/other/x and /mnt are gone", "x and mnt are gone"),
        ("OSError:/srv/a/x, `/srv/b/y` and ‘/srv/c/z’", "OSError:x, `y` and ‘z’"),
        ("1,200 images/s, see https://example.org/a/b or docs/export.md; 3 / 4", None),
        ("birds and flowers/birds are names", None),
    ],
)
def test_paths_are_replaced_and_other_slashes_stay(text, expected):
    run = of_own_images("birds")
    assert without_paths(text, run) == (text if expected is None else expected)


def test_a_relative_path_of_a_dataset_is_replaced(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    run = of_own_images("my pictures/birds", tmp_path / "runs")
    said = f"my pictures/birds and {tmp_path}/my pictures/birds/robin have no images"
    assert without_paths(said, run) == "birds and birds/robin have no images"


def test_the_folders_of_runs_and_data_are_replaced_by_their_names(monkeypatch, tmp_path):
    monkeypatch.setenv("EXPERTNET_DATA", str(tmp_path / "my disk" / "images"))
    run = of_own_images("digits", tmp_path / "my runs")
    said = f"not cached in {tmp_path}/my disk/images (full), nor in {tmp_path}/my runs/other/log.txt"
    assert without_paths(said, run) == "not cached in images (full), nor in my runs/other/log.txt"


def test_a_run_whose_settings_cannot_be_read_has_no_dataset_to_name():
    run = of_own_images("")
    assert without_paths("/srv/x is gone", run) == "x is gone"
