"""The store: what is written stays readable, whatever happens to its files."""

import json
import os

import psutil
import pytest

from expertnet.errors import RunError
from expertnet.settings.fields import build_settings
from expertnet.store.checks import find_damage
from expertnet.store.status import Status
from expertnet.store.trash import move_to_trash
from expertnet.utils.files import to_json, write_atomically
from expertnet.utils.processes import this_process
from tests.support.commits import SOUND, described, state
from tests.support.small import can_resume


def test_create_list_resolve(store):
    runs = [store.create(build_settings(), name=name) for name in ("first", "", "third")]
    assert {run.id for run in store.list()} == {run.id for run in runs}
    assert store.get(runs[0].id).name == "first" and store.get(runs[1].id).name == runs[1].id
    assert runs[0].settings() == build_settings() and runs[0].state == "queued"
    assert len({run.id[:-1] for run in runs}) < 3 or store.resolve(runs[2].id[:-1]).id == runs[2].id
    assert store.resolve("latest").id == runs[-1].id


def test_runs_made_within_a_second_are_listed_newest_first(store):
    ids = [store.create(build_settings()).id for _ in range(20)]
    assert [run.id for run in store.list()] == ids[::-1]


@pytest.mark.parametrize(
    "text", ["../x", "..", "/etc", "", "20260101-000000-zzzz", "20260101-000000-abcd", "nothing", "2026\x00"]
)
def test_an_id_from_outside_never_leaves_the_store(store, text):
    (store.root.parent / "x").mkdir()
    store.create(build_settings())
    for find in (store.get, store.resolve):
        with pytest.raises(RunError) as refused:
            find(text)
        assert "\n" not in str(refused.value)


def test_the_beginning_of_several_runs_is_refused(store):
    for _ in range(2):
        store.create(build_settings())
    with pytest.raises(RunError, match="2 runs"):
        store.resolve("2")


def test_a_run_whose_process_is_gone_is_interrupted(store):
    run = store.create(build_settings())
    run.write_status(Status().changed(process=this_process(), state="running"))
    assert run.state == "running"
    run.write_status(
        Status().changed(process=this_process(), state="running", process_start=1.0)
    )  # the pid was given to another
    assert run.state == "interrupted" and can_resume(run)


def test_a_clock_that_is_set_leaves_a_run_alive(store, monkeypatch):
    """The system tells when a process started by adding its age at the start to the clock's idea of when that was."""
    run = store.create(build_settings())
    boot_time = psutil._psplatform.boot_time
    for step in (-3600, -1, 1, 3600):
        monkeypatch.setattr(psutil._psplatform, "boot_time", lambda step=step: boot_time() + step)
        assert run.state == "queued"


def test_a_run_of_before_the_machine_was_started_anew_is_interrupted(store):
    run = store.create(build_settings())
    run.write_status(run.status().changed(boot="another"))
    assert run.state == "interrupted"


def test_two_versions_within_a_tick_of_the_clock_are_told_apart(store):
    run = store.create(build_settings())
    path = run.path / "status.json"
    then = path.stat().st_mtime_ns
    run.status()
    run.write_status(run.status().changed(state="stopped", epoch=1))
    os.utime(path, ns=(then, then))
    assert run.state == "stopped"


def test_a_run_on_another_host_lives_by_its_heartbeat(store):
    import time

    run = store.create(build_settings())
    for age, expected in ((5, "running"), (120, "interrupted")):
        run.write_status(
            Status().changed(state="running", host="elsewhere", pid=1, process_start=1.0, heartbeat=time.time() - age)
        )
        assert run.state == expected


def test_torn_and_missing_files(store):
    run = store.create(build_settings())
    (run.path / "metrics.jsonl").write_text('{"epoch": 1, "val_accuracy": 0.5}\n{"epoch": 2, "val_acc')
    assert [line["epoch"] for line in run.metrics()] == [1]
    (run.path / "status.json").write_text('{"state": "runn')
    assert run.state == "failed" and "damaged" in run.status().error and find_damage(run)
    (run.path / "config.json").write_bytes(b"\xff\x00[")
    assert run.name == run.id and run.dataset_info() is None and run.log_tail() == ""
    with pytest.raises(RunError, match="damaged"):
        run.settings()
    (run.path / "config.json").unlink()
    with pytest.raises(RunError, match="no config.json"):
        run.config()
    run.checkpoints.path("best").write_bytes(b"no tensors")
    with pytest.raises(RunError, match="damaged"):
        run.checkpoints.load("best")
    with pytest.raises(RunError, match="last checkpoint .* is missing. The best one cannot be used"):
        run.checkpoints.load("last")
    assert store.list()[0].id == run.id
    move_to_trash(run)
    assert store.list() == []


def test_a_status_of_an_older_version_has_every_key(store):
    run = store.create(build_settings())
    (run.path / "status.json").write_text(json.dumps({"state": "finished", "epoch": 3}))
    status = run.status()
    assert status.epoch == 3 and status.test_accuracy is None


def test_an_active_run_is_not_deleted(store):
    run = store.create(build_settings())
    with pytest.raises(RunError, match="Stop it"):
        move_to_trash(run)


def test_a_write_that_fails_leaves_the_old_file(tmp_path):
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def fail(file):
        file.write(b"half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, fail)
    assert path.read_bytes() == b"old"


def test_json_has_null_for_what_is_not_finite():
    assert json.loads(to_json({"a": [float("inf"), 1.5], "b": float("nan")})) == {"a": [None, 1.5], "b": None}


def test_the_latest_with_a_network_is_that_of_those_that_have_one(store):
    def made(number):
        run = store.create(build_settings())
        run.path.rename(store.root / f"20260101-00000{number}-abcd")
        return store.get(f"20260101-00000{number}-abcd")

    first = made(1)
    assert store.resolve("latest", trained=True).id == first.id  # which then says why it cannot be used
    described(first, SOUND)
    first.checkpoints.commit_epoch(state(1, 1), [{"epoch": 1}])
    last = made(2)
    assert store.resolve("latest", trained=True).id == first.id
    assert store.resolve("latest").id == store.resolve(last.id, trained=True).id == last.id


def test_the_end_of_a_log_begins_with_a_whole_entry(store):
    run = store.create(build_settings())
    assert run.log_tail() == ""
    run.log("first")
    run.log("failed\n" + "\n".join(f"  line {number}" for number in range(50)))
    assert run.log_tail(5).splitlines()[0].endswith("failed") and len(run.log_tail(5).splitlines()) == 51
    run.log("after it")
    assert len(run.log_tail(1).splitlines()) == 1
