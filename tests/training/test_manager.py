"""The background thread, its queue, stopping, going on: real trainings on digits, small."""

import shutil
import time

import pytest
from PIL import Image

from expertnet.errors import RunError
from expertnet.settings.fields import build_settings
from expertnet.store.run_store import RunStore
from expertnet.training import runner, start
from expertnet.training.manager import Manager
from expertnet.training.manager import manager as manager_of
from expertnet.training.runner import run_training
from expertnet.training.start import prepare_resume
from expertnet.training.stop import Stop
from tests.support.small import TINY, can_resume, settings, until


def test_a_run_from_the_queue_to_its_files(manager, store):
    run = manager.submit(settings(**{"training.epochs": 2}), preset="quick", name="first")
    assert manager.join(timeout=300)
    status = run.status()
    assert (status.state, status.epoch, status.error) == ("finished", 2, None)
    assert 0 <= status.test_accuracy <= 1 and status.best_epoch in (1, 2) and status.activity == ""
    assert (status.validation_images, status.test_images) == (
        143,
        359,
    )  # a tenth of the others, and a fifth of the digits
    assert [line["epoch"] for line in run.metrics()] == [1, 2]
    info = run.dataset_info()
    assert len(info.classes) == 10 and info.image_size == 8 and run.config()["environment"]["torch"]
    assert run.checkpoints.present() == ("best", "last") and "Finished" in run.log_tail()


@pytest.mark.slow
def test_the_share_that_is_done_never_falls_while_a_run_trains(store):
    run, seen = store.create(settings(**{"training.epochs": 3})), []
    run_training(run, Stop(), on_progress=lambda status: seen.append((status.activity, status.progress)))
    shares = [share for _, share in seen]
    assert shares == sorted(shares) and shares[0] == 0 and shares[-1] == 1
    assert {1 / 3, 2 / 3} <= {share for activity, share in seen if activity == "Evaluating on the validation set"}
    assert run.status().changed(state="stopped", epoch=1, step=2, steps=4).progress == 1 / 3  # of whole epochs


@pytest.mark.slow
def test_a_completed_epoch_is_no_longer_evaluated(store):
    run, seen = store.create(settings(**{"training.epochs": 3})), []
    run_training(run, Stop(), on_progress=lambda status: seen.append((status.activity, status.epoch)))
    assert {completed for activity, completed in seen if activity == "Evaluating on the validation set"} == {0, 1, 2}


@pytest.mark.slow
def test_a_finished_run_that_has_lost_its_status_is_measured_again(store):
    run = store.create(settings(**{"training.epochs": 2}))
    before = run_training(run, Stop())
    (run.path / "status.json").write_text("{")
    prepare_resume(run)
    assert run.status().test_accuracy is None
    after = run_training(run, Stop())
    for key in ("state", "epoch", "best_epoch", "best_val_accuracy", "test_accuracy"):
        assert getattr(after, key) == getattr(before, key), key
    assert len(run.metrics()) == 2 and after.images_per_second == run.metrics()[-1]["images_per_second"]


def test_the_log_names_the_images_that_could_not_be_read(store, tmp_path, monkeypatch):
    monkeypatch.setenv("EXPERTNET_DATA", str(tmp_path / "data"))
    for name in ("cat", "dog"):
        (tmp_path / "own" / name).mkdir(parents=True)
        for number in range(20):
            Image.new("L", (8, 8), 9 * number).save(tmp_path / "own" / name / f"{number}.png")
    (tmp_path / "own" / "cat" / "torn.png").write_bytes(b"no image")
    run = store.create(build_settings("quick", str(tmp_path / "own"), TINY))
    assert run_training(run, Stop()).state == "finished", run.log_tail()
    assert "Skipped 1 file" in run.log_tail() and "cat/torn.png" in run.log_tail()
    (tmp_path / "own" / "bird").mkdir()
    for name in ("empty.png", "also.png"):
        (tmp_path / "own" / "bird" / name).touch()
    failed = run_training(store.create(run.settings()), Stop())
    assert failed.state == "failed" and "class 'bird'" in failed.error and "bird/empty.png" in failed.error


def test_one_at_a_time_in_order_and_removal_from_the_queue(manager, store):
    runs = [manager.submit(settings(**{"training.epochs": 1000 if n == 0 else 1})) for n in range(3)]
    manager.stop(runs[1])
    assert runs[1].state == "stopped" and runs[1].metrics() == []
    manager.stop(runs[0])
    assert manager.join(timeout=300)
    assert runs[0].state == "stopped" and runs[2].state == "finished"
    assert runs[0].status().epoch < 1000 and can_resume(runs[0])


def test_stopping_with_discard_moves_the_run_to_the_trash(manager, store):
    run = manager.submit(settings(**{"training.epochs": 1000}))
    manager.stop(run, discard=True)
    assert manager.join(timeout=300)
    assert store.list() == [] and (store.root / ".trash" / run.id / "config.json").is_file()


def test_a_paused_queue_begins_nothing_and_the_next_manager_goes_on_with_it(manager, store):
    manager.pause(True)
    runs = [manager.submit(settings(**{"training.epochs": 1})) for _ in range(2)]
    manager.queue.move_up(runs[1].id)
    manager.close()
    later = Manager(store)
    try:
        later.wake()
        assert later.join(timeout=300) and [run.state for run in runs] == ["queued", "queued"]
        later.pause(False)
        assert later.join(timeout=300)
        assert [run.state for run in runs] == ["finished", "finished"]
        assert "Started" in runs[1].log_tail()
        times = [(run.path / "log.txt").read_text().split("  ")[0] for run in runs]
        assert times[1] <= times[0]  # the one that was moved up came first
    finally:
        later.close()


def test_closing_interrupts_what_trains_and_it_can_go_on(manager, store):
    run = manager.submit(settings(**{"training.epochs": 1000}))
    until(run.metrics)
    manager.close()
    assert run.state == "interrupted" and can_resume(run) and "Interrupted" in run.log_tail()


def test_a_failed_run_says_why_and_the_next_one_runs(manager, store, tmp_path):
    (tmp_path / "one" / "cat").mkdir(parents=True)
    bad = manager.submit(build_settings("quick", str(tmp_path / "one"), TINY))
    good = manager.submit(settings(**{"training.epochs": 2}))
    assert manager.join(timeout=300)
    status = bad.status()
    assert status.state == "failed" and status.error_kind == "data" and status.error and "\n" not in status.error
    assert status.error in bad.log_tail() and "Traceback" not in bad.log_tail()  # there is nothing to trace
    assert good.state == "finished"


def test_an_unexpected_error_ends_the_run_not_the_thread(manager, store, monkeypatch):
    def broken(*arguments, **keywords):
        raise ZeroDivisionError("surprise")

    monkeypatch.setattr(runner, "load_dataset", broken)
    run = manager.submit(settings(**{"training.epochs": 2}))
    assert manager.join(timeout=300)
    assert run.state == "failed" and "ZeroDivisionError" in run.status().error and "surprise" in run.log_tail()


def test_a_run_that_cannot_be_discarded_is_stopped_and_the_next_one_trains(manager, store, tmp_path):
    run, after = manager.submit(settings(**{"training.epochs": 1000})), manager.submit(settings())
    (tmp_path / "outside").mkdir()
    (store.root / ".trash").symlink_to(tmp_path / "outside")
    until(run.metrics)  # in the queue it would be stopped here, and the caller told
    manager.stop(run, discard=True)
    assert manager.join(timeout=300) and after.state == "finished"
    assert run.state == "stopped" and "is a link" in run.log_tail() and not run.stop_asked()


def test_a_training_lock_that_cannot_be_used_fails_the_runs_and_says_so(manager, store):
    (store.root / "training.lock").mkdir(parents=True)
    runs = [manager.submit(settings()) for _ in range(2)]
    assert manager.join(timeout=300) and manager.queue.ids() == []
    for run in runs:
        assert run.state == "failed" and "training.lock cannot be used (Is a directory)" in run.status().error


def test_what_is_in_the_queue_but_not_queued_is_not_trained(manager, store):
    """As when a process dies while it removes a run, or a folder is removed by hand."""
    manager.pause(True)
    stopped, gone, after = (manager.submit(settings()) for _ in range(3))
    stopped.write_status(stopped.status().changed(state="stopped"))
    shutil.rmtree(gone.path)
    manager.pause(False)
    assert manager.join(timeout=300) and manager.queue.ids() == []
    assert stopped.state == "stopped" and not stopped.metrics() and not gone.path.exists() and after.state == "finished"


@pytest.mark.parametrize("discard", [False, True])
def test_a_run_that_lost_its_place_in_the_queue_can_be_stopped(manager, store, discard):
    run = store.create(settings())
    manager.stop(run, discard)
    assert [left.state for left in store.list()] == ([] if discard else ["stopped"])


def test_a_run_that_lost_its_place_in_the_queue_is_interrupted_after_a_minute(store):
    run = store.create(settings())
    assert run.state == "queued"  # whoever creates a run then queues it
    run.write_status(run.status().changed(heartbeat=time.time() - 61))
    assert run.state == "interrupted" and can_resume(run)


def test_a_queued_run_whose_settings_are_damaged_can_be_stopped(manager, store):
    run = store.create(settings())
    run_training(run, Stop())
    manager.pause(True)
    manager.resume(run, epochs=3)
    (run.path / "config.json").write_text("{")
    manager.stop(run)
    assert run.state == "finished" and manager.queue.ids() == []


def test_a_run_that_two_pages_resume_at_once_is_queued_once(store, monkeypatch):
    run = store.create(settings())
    run.write_status(run.status().changed(state="interrupted"))

    def slow(run):  # the other page resumes it meanwhile
        monkeypatch.undo()
        prepare_resume(run)

    monkeypatch.setattr(start, "resume_fault", slow)
    with pytest.raises(RunError, match="is already queued"):
        prepare_resume(run)


def test_a_run_with_the_last_seed_is_repeated_with_the_first(manager, store):
    manager.pause(True)
    run = manager.submit(settings(seed=2**31 - 1), name="mine, seed 2147483647")
    again = manager.repeat(run)
    assert (again.settings().seed, again.title) == (0, "mine, seed 0")


def test_a_run_that_has_ended_is_not_stopped(manager, store):
    run = store.create(settings(**{"training.epochs": 1}))
    run_training(run, Stop())
    with pytest.raises(RunError, match="it is finished"):
        manager.stop(run)
    assert run.stop_asked() == ""


def test_the_manager_is_one_for_a_store():
    assert manager_of() is manager_of(RunStore())
    assert manager_of() is not manager_of(RunStore("elsewhere"))
