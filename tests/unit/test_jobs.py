"""The background thread, its queue, stopping, going on: real trainings on digits, small."""

import threading

import pytest

from expertnet import jobs, training
from expertnet.config import SettingsError
from expertnet.fields import build_settings
from expertnet.jobs import Manager, prepare_resume
from expertnet.runs import RunError, RunStore
from expertnet.training import run_training

TINY = {
    "model.num_blocks": 1,
    "model.pool_after": (),
    "model.channels": 8,
    "model.reduction": 2,
    "data.image_size": 8,
    "data.crop_padding": 1,
    "training.epochs": 2,
    "hardware.device": "cpu",
    "hardware.precision": "fp32",
}


@pytest.fixture
def store(tmp_path):
    return RunStore(tmp_path / "runs")


@pytest.fixture
def manager():
    made = Manager()
    yield made
    made.close()


def settings(**overrides):
    return build_settings("quick", "digits", TINY | overrides)


def figures(run):
    return [{k: v for k, v in line.items() if k not in ("seconds", "images_per_second")} for line in run.metrics()]


def stop_after_epoch(epoch):
    """A stop event and a callback that sets it in the epoch after `epoch`."""
    stop = threading.Event()

    def look(status):
        if status["epoch"] == epoch and status["step"] == 2:
            stop.set()

    return stop, look


def test_a_run_from_the_queue_to_its_files(manager, store):
    run = manager.submit(settings(), preset="quick", name="first", store=store)
    assert manager.join(timeout=300)
    status = run.status()
    assert (status["state"], status["epoch"], status["error"]) == ("finished", 2, None)
    assert 0 <= status["test_accuracy"] <= 1 and status["best_epoch"] in (1, 2) and status["activity"] == ""
    assert [line["epoch"] for line in run.metrics()] == [1, 2]
    info = run.dataset_info()
    assert len(info.classes) == 10 and info.image_size == 8 and run.config()["environment"]["torch"]
    assert run.checkpoints() == ("best", "last") and "Finished" in run.log_tail()


def test_one_at_a_time_in_order_and_removal_from_the_queue(manager, store):
    runs = [manager.submit(settings(**{"training.epochs": 1000 if n == 0 else 1}), store=store) for n in range(3)]
    manager.stop(runs[1])
    assert runs[1].state == "stopped" and runs[1].metrics() == []
    manager.stop(runs[0])
    assert manager.join(timeout=300)
    assert runs[0].state == "stopped" and runs[2].state == "finished"
    assert runs[0].status()["epoch"] < 1000 and runs[0].can_resume()


def test_stopping_with_discard_deletes_the_run(manager, store):
    run = manager.submit(settings(**{"training.epochs": 1000}), store=store)
    manager.stop(run, discard=True)
    assert manager.join(timeout=300)
    assert store.list() == [] and not run.path.exists()


def test_stopped_and_resumed_ends_as_one_left_alone(store):
    whole, broken = (store.create(settings(**{"training.epochs": 3})) for _ in range(2))
    run_training(whole, threading.Event())
    stop, look = stop_after_epoch(1)
    assert run_training(broken, stop, on_progress=look)["state"] == "stopped"
    assert [line["epoch"] for line in broken.metrics()] == [1] and broken.state == "stopped"
    prepare_resume(broken)
    assert run_training(broken, threading.Event())["state"] == "finished"
    assert figures(broken) == figures(whole)
    assert broken.checkpoint_path("last").read_bytes() == whole.checkpoint_path("last").read_bytes()
    assert broken.status()["test_accuracy"] == whole.status()["test_accuracy"]


def test_resume_goes_back_to_the_committed_epoch(store):
    run = store.create(settings())
    stop, look = stop_after_epoch(1)
    run_training(run, stop, on_progress=look)
    with (run.path / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 2, "val_accuracy": 9}\n{"epoch": 3, "va')  # written, but never committed
    prepare_resume(run, epochs=2)
    run_training(run, threading.Event())
    assert [line["epoch"] for line in run.metrics()] == [1, 2] and run.metrics()[1]["val_accuracy"] <= 1


def test_training_longer_from_the_end_and_refusals(store):
    run = store.create(settings(**{"training.epochs": 1}))
    with pytest.raises(RunError, match="queued already"):
        prepare_resume(run)
    run_training(run, threading.Event())
    with pytest.raises(RunError, match="larger training.epochs"):
        prepare_resume(run)
    prepare_resume(run, epochs=2)
    assert run_training(run, threading.Event())["epoch"] == 2


def test_a_failed_run_says_why_and_the_next_one_runs(manager, store, tmp_path):
    (tmp_path / "one" / "cat").mkdir(parents=True)
    bad = manager.submit(build_settings("quick", str(tmp_path / "one"), TINY), store=store)
    good = manager.submit(settings(), store=store)
    assert manager.join(timeout=300)
    status = bad.status()
    assert (
        status["state"] == "failed"
        and status["error_kind"] == "data"
        and status["error"]
        and "\n" not in status["error"]
    )
    assert "Traceback" in bad.log_tail() and good.state == "finished"


def test_an_unexpected_error_ends_the_run_not_the_thread(manager, store, monkeypatch):
    def broken(*arguments, **keywords):
        raise ZeroDivisionError("surprise")

    monkeypatch.setattr(training, "load_dataset", broken)
    run = manager.submit(settings(), store=store)
    assert manager.join(timeout=300)
    assert run.state == "failed" and "ZeroDivisionError" in run.status()["error"] and "surprise" in run.log_tail()


def test_what_cannot_start_is_refused_before_there_is_a_run(manager, store):
    huge = {"training.batch_size": 16384, "model.channels": 1024, "data.image_size": 128, "hardware.device": "cpu"}
    with pytest.raises(SettingsError, match="GiB"):
        manager.submit(build_settings("report", "digits", huge), store=store)
    assert store.list() == []


def test_a_run_of_another_process_is_not_stopped_from_here(manager, store):
    run = store.create(settings())
    with pytest.raises(RunError, match="does not run in this server"):
        manager.stop(run)


def test_the_manager_is_one_for_the_process():
    assert jobs.manager() is jobs.manager()


def test_a_run_whose_resume_file_is_damaged_is_refused_and_left_as_it_was(store):
    run = store.create(settings())
    run.write_status(run.status() | {"state": "stopped"})
    (run.path / "resume.pt").write_bytes(b"")
    before = run.status()
    with pytest.raises(RunError, match="start it anew"):
        prepare_resume(run)
    assert run.status() == before


def test_a_run_that_was_stopped_after_its_last_epoch_goes_on_to_the_test(store):
    run = store.create(settings(**{"training.epochs": 1}))
    stop = threading.Event()
    run_training(run, stop, on_progress=lambda status: status["epoch"] and stop.set())
    assert run.state == "stopped" and run.status()["test_accuracy"] is None and run.can_resume()
    prepare_resume(run)
    run_training(run, threading.Event())
    assert run.state == "finished" and run.status()["test_accuracy"] is not None
