"""The store: what is written stays readable, whatever happens to its files."""

import json
import os

import psutil
import pytest
import torch

from expertnet.errors import RunError
from expertnet.settings.fields import build_settings
from expertnet.store.checks import check_network, find_damage, has_network, resume_fault
from expertnet.store.run_store import RunStore
from expertnet.store.status import Status
from expertnet.store.trash import move_to_trash
from expertnet.utils.files import to_json, write_atomically
from expertnet.utils.processes import this_process
from tests.support.small import can_resume


@pytest.fixture
def store(tmp_path):
    return RunStore(tmp_path / "runs")


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
    for age, state in ((5, "running"), (120, "interrupted")):
        run.write_status(
            Status().changed(state="running", host="elsewhere", pid=1, process_start=1.0, heartbeat=time.time() - age)
        )
        assert run.state == state


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


def state(epoch, best_epoch):
    return {
        "epoch": epoch,
        "weights": {"w": torch.full((2,), float(epoch))},
        "optimizers": [],
        "threads": 1,
        "best": {"epoch": best_epoch, "accuracy": 0.5, "weights": {"w": torch.full((2,), float(best_epoch))}},
        "generator": torch.Generator().get_state(),
    }


def test_commit_and_roll_back(store):
    run = store.create(build_settings())
    history = [{"epoch": 1, "train_loss": float("nan")}, {"epoch": 2, "train_loss": 0.5}]
    for epoch in range(3):
        run.checkpoints.commit_epoch(state(epoch, min(epoch, 1)), history[:epoch])
    assert [(line["epoch"], line["train_loss"]) for line in run.metrics()] == [(1, None), (2, 0.5)]
    assert run.checkpoints.load("best")[1] == 1 and run.checkpoints.load("last")[1] == 2
    saved = run.checkpoints.load_resume()
    # epoch 3 wrote everything but resume.pt, and then the process was killed
    with (run.path / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 3, "train_loss": 0.1}\n')
    run.checkpoints.save("best", {"w": torch.zeros(2)}, 3)
    run.checkpoints.roll_back(saved)
    assert [line["epoch"] for line in run.metrics()] == [1, 2]
    (run.path / "metrics.jsonl").unlink()
    run.checkpoints.roll_back(saved)  # resume.pt alone is enough
    assert [(line["epoch"], line["train_loss"]) for line in run.metrics()] == [(1, None), (2, 0.5)]
    weights, epoch = run.checkpoints.load("best")
    assert epoch == 1 and torch.equal(weights["w"], torch.ones(2))


def test_weights_of_every_second_epoch_are_kept_and_rolled_back(store):
    run = store.create(build_settings())
    for epoch in range(5):
        run.checkpoints.commit_epoch(
            state(epoch, min(epoch, 1)), [{"epoch": n} for n in range(1, epoch + 1)], keep_every=2
        )
    assert run.checkpoints.saved_epochs() == {0: "epoch-0000", 2: "epoch-0002", 4: "epoch-0004"}
    weights, epoch = run.checkpoints.load("epoch-0002")
    assert epoch == 2 and torch.equal(weights["w"], torch.full((2,), 2.0))
    run.checkpoints.roll_back(state(3, 1))
    assert list(run.checkpoints.saved_epochs()) == [0, 2]


def test_resume_file_that_would_run_code_is_refused(store):
    run = store.create(build_settings())

    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(store.root / "harm"),)

    torch.save({"epoch": Evil()}, run.path / "resume.pt")
    with pytest.raises(RunError, match="damaged"):
        run.checkpoints.load_resume()
    assert not (store.root / "harm").exists()


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


def described(run, dataset):
    run.write_config(run.config() | {"dataset": dataset})


SOUND = {"name": "x", "classes": ["a", "b"], "mean": [0.5] * 3, "std": [0.2] * 3, "image_size": 8, "fingerprint": "f"}


def test_a_run_that_has_not_read_its_data_set_is_sound(store):
    run = store.create(build_settings())
    assert find_damage(run) is None and run.dataset_info() is None
    described(run, SOUND)
    run.checkpoints.commit_epoch(state(0, 0), [])
    assert find_damage(run) is None and run.dataset_info().classes == ("a", "b")


@pytest.mark.parametrize(
    "dataset",
    [None, {}, [], "x", 7, {"name": "x"}, SOUND | {"classes": []}, SOUND | {"mean": ["a"] * 3}, SOUND | {"std": []}],
)
def test_a_broken_data_set_is_noticed(store, dataset):
    run = store.create(build_settings())
    run.checkpoints.commit_epoch(state(1, 1), [{"epoch": 1}])
    described(run, dataset)
    assert "dataset" in find_damage(run) and "Resume training to restore" in find_damage(run) and not has_network(run)
    run.write_status(run.status().changed(state="stopped"))
    assert run.dataset_info() is None and can_resume(run)


def test_damage_says_what_can_still_be_done(store):
    run = store.create(build_settings())
    described(run, SOUND)
    run.checkpoints.commit_epoch(state(1, 1), [{"epoch": 1}])
    (run.path / "status.json").write_text("{")
    assert "You can still use" in find_damage(run) and has_network(run) and can_resume(run)
    (run.path / "config.json").write_text("{")
    assert "You can only delete" in find_damage(run) and not has_network(run) and not can_resume(run)


def test_a_network_is_there_with_the_first_whole_epoch(store):
    run = store.create(build_settings())
    with pytest.raises(RunError, match="first epoch"):
        check_network(run)
    described(run, SOUND)
    run.checkpoints.commit_epoch(state(0, 0), [])
    assert run.checkpoints.epoch("best") == 0 and not has_network(run)
    run.checkpoints.commit_epoch(state(1, 1), [{"epoch": 1}])
    assert has_network(run) and run.checkpoints.present() == ("best", "last")


@pytest.mark.parametrize(
    ("state", "says"),
    [("failed", "“mine” failed before"), ("stopped", "was stopped before"), ("interrupted", "was interrupted before")],
)
def test_a_run_that_ended_before_its_first_epoch_says_so(store, state, says):
    run = store.create(build_settings(), name="mine")
    run.write_status(run.status().changed(state=state))
    with pytest.raises(RunError, match=says):
        check_network(run)
    run = store.create(build_settings())
    with pytest.raises(RunError, match="^Run “Digits, own settings” has no trained network yet"):
        check_network(run)


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


def test_a_damaged_checkpoint_names_the_other(store):
    run = store.create(build_settings())
    described(run, SOUND)
    run.checkpoints.commit_epoch(state(1, 1), [{"epoch": 1}])
    run.write_status(run.status().changed(epoch=1, epochs=1))
    assert find_damage(run) is None
    whole = run.checkpoints.path("best").read_bytes()
    for what, change in (
        ("is missing", run.checkpoints.path("best").unlink),
        ("is damaged", lambda: run.checkpoints.path("best").write_bytes(whole[:-4])),
    ):
        change()
        with pytest.raises(RunError, match=f"{what}. Use the last one instead") as error:
            run.checkpoints.load("best")
        assert find_damage(run) == str(error.value)
    assert has_network(run) and run.checkpoints.epoch("best") is None
    run.checkpoints.path("last").write_bytes(b"")
    with pytest.raises(RunError, match="No checkpoint"):
        check_network(run)


def test_the_end_of_a_log_begins_with_a_whole_entry(store):
    run = store.create(build_settings())
    assert run.log_tail() == ""
    run.log("first")
    run.log("failed\n" + "\n".join(f"  line {number}" for number in range(50)))
    assert run.log_tail(5).splitlines()[0].endswith("failed") and len(run.log_tail(5).splitlines()) == 51
    run.log("after it")
    assert len(run.log_tail(1).splitlines()) == 1


@pytest.mark.parametrize("content", [b"", b"no zip", None])
def test_a_run_without_a_readable_resume_file_cannot_go_on(store, content):
    run = store.create(build_settings())
    run.write_status(run.status().changed(state="stopped"))
    assert can_resume(run)  # from its beginning
    run.checkpoints.commit_epoch(state(1, 1), [{"epoch": 1}])
    assert can_resume(run)
    (run.path / "resume.pt").unlink() if content is None else (run.path / "resume.pt").write_bytes(content)
    assert not can_resume(run) and "Start it again" in resume_fault(run)
