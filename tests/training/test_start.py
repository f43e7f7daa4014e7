"""What runs are resumed, trained longer or refused before they train."""

import pytest

from expertnet.errors import RunError, SettingsError
from expertnet.network import cost
from expertnet.settings.fields import build_settings
from expertnet.training.manager import Manager
from expertnet.training.runner import run_training
from expertnet.training.start import check_can_start, prepare_resume
from expertnet.training.stop import Stop
from expertnet.utils.processes import Process
from tests.support.small import can_resume, figures, settings


def stop_after_epoch(epoch):
    """A stop event and a callback that sets it in the epoch after `epoch`."""
    stop = Stop()

    def look(status):
        if status.epoch == epoch and status.step == 2:
            stop.set()

    return stop, look


@pytest.mark.slow
def test_stopped_and_resumed_ends_as_one_left_alone(store):
    whole, broken = (store.create(settings(**{"training.epochs": 3})) for _ in range(2))
    run_training(whole, Stop())
    stop, look = stop_after_epoch(1)
    assert run_training(broken, stop, on_progress=look).state == "stopped"
    assert [line["epoch"] for line in broken.metrics()] == [1] and broken.state == "stopped"
    prepare_resume(broken)
    assert run_training(broken, Stop()).state == "finished"
    assert figures(broken) == figures(whole)
    assert broken.checkpoints.path("last").read_bytes() == whole.checkpoints.path("last").read_bytes()
    assert broken.status().test_accuracy == whole.status().test_accuracy


def test_resume_goes_back_to_the_committed_epoch(store):
    run = store.create(settings(**{"training.epochs": 2}))
    stop, look = stop_after_epoch(1)
    run_training(run, stop, on_progress=look)
    with (run.path / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 2, "val_accuracy": 9}\n{"epoch": 3, "va')  # written, but never committed
    prepare_resume(run, epochs=2)
    run_training(run, Stop())
    assert [line["epoch"] for line in run.metrics()] == [1, 2] and run.metrics()[1]["val_accuracy"] <= 1


def test_training_longer_from_the_end_and_refusals(store):
    run = store.create(settings(**{"training.epochs": 1}))
    with pytest.raises(RunError, match="already queued"):
        prepare_resume(run)
    run_training(run, Stop())
    with pytest.raises(RunError, match="raise `training.epochs`"):
        prepare_resume(run)
    prepare_resume(run, epochs=2)
    assert run_training(run, Stop()).epoch == 2


def test_what_cannot_start_is_refused_before_there_is_a_run(manager, store):
    huge = {"training.batch_size": 16384, "model.channels": 1024, "data.image_size": 128, "hardware.device": "cpu"}
    with pytest.raises(SettingsError, match="GiB"):
        manager.submit(build_settings("report", "digits", huge))
    assert store.list() == []


def test_a_batch_needs_no_memory_for_images_that_there_are_not(store, monkeypatch):
    wanted = settings(**{"training.batch_size": 16384})
    monkeypatch.setattr(cost, "available_memory", lambda device: cost.estimate(wanted, 10).memory_bytes - 1)
    check_can_start(wanted, store)
    run = store.create(wanted)
    assert run_training(run, Stop()).state == "finished", run.log_tail()


def test_a_run_whose_resume_file_is_damaged_is_refused_and_left_as_it_was(store):
    run = store.create(settings(**{"training.epochs": 2}))
    run.write_status(run.status().changed(state="stopped"))
    (run.path / "resume.pt").write_bytes(b"")
    before = run.status()
    with pytest.raises(RunError, match="Start it again"):
        prepare_resume(run)
    assert run.status() == before


@pytest.mark.slow
def test_a_run_that_was_stopped_after_its_last_epoch_goes_on_to_the_test(store):
    run = store.create(settings(**{"training.epochs": 1}))
    stop = Stop()
    run_training(run, stop, on_progress=lambda status: status.epoch and stop.set())
    assert run.state == "stopped" and run.status().test_accuracy is None and can_resume(run)
    prepare_resume(run)
    run_training(run, Stop())
    assert run.state == "finished" and run.status().test_accuracy is not None


def test_a_run_that_was_stopped_after_it_ended_early_goes_on_to_the_test_and_no_further(store):
    run = store.create(settings(**{"training.epochs": 3, "training.max_minutes": 1e-6}))
    stop = Stop()
    run_training(run, stop, on_progress=lambda status: status.epoch and stop.set())
    assert run.state == "stopped" and run.status().test_accuracy is None
    prepare_resume(run)
    status = run_training(run, Stop())
    assert (status.state, status.epoch) == ("finished", 1) and status.test_accuracy is not None
    assert "Stopped early: another epoch would exceed the time limit" in run.log_tail()


def test_a_finished_run_that_may_not_train_longer_says_why(store):
    run = store.create(settings(**{"training.epochs": 1, "training.max_minutes": 1e-6}))
    assert run_training(run, Stop()).state == "finished"
    with pytest.raises(RunError, match="has ended. Stopped early: another epoch would exceed the time limit"):
        prepare_resume(run, epochs=2)
    assert run.state == "finished" and run.settings().training.epochs == 1


@pytest.mark.slow
def test_a_run_that_was_to_be_trained_longer_and_was_not_is_what_it_was(store):
    run = store.create(settings())
    run_training(run, Stop())
    before, config = run.status(), run.config()
    assert before.state == "finished" and before.test_accuracy is not None
    lined_up = Manager(store)
    lined_up.pause(True)
    lined_up.resume(run, epochs=3)
    assert run.state == "queued" and run.settings().training.epochs == 3
    lined_up.stop(run)
    nobody = Process()
    assert run.status().changed(process=nobody) == before.changed(process=nobody) and run.config() == config
    prepare_resume(run, epochs=3)
    stop = Stop()
    stop.set()
    run_training(run, stop)  # nothing was learned, so what was measured still holds
    assert run.status().test_accuracy == before.test_accuracy
    prepare_resume(run, epochs=3)
    stop = Stop()
    run_training(run, stop, on_progress=lambda status: status.epoch > before.epoch and stop.set())
    assert run.state == "stopped" and run.status().test_accuracy is None  # it was of other weights


@pytest.mark.parametrize("trial", [False, True, "20260101-000000-abcd"])
def test_a_run_that_leaves_the_queue_has_its_processes_and_its_purpose_again(store, trial):
    run = store.create(settings(), trial=trial)
    run.write_status(run.status().changed(state="stopped"))
    before = run.config()
    prepare_resume(run, epochs=3, processes=2)
    assert not run.trial and run.settings().hardware.processes == 2
    run.leave_queue("stopped")
    assert run.config() == before and run.trial == bool(trial)


def test_more_epochs_than_the_setting_takes_harm_nothing(store):
    run = store.create(settings())
    run_training(run, Stop())
    before = run.config()
    with pytest.raises(SettingsError, match="10000"):
        prepare_resume(run, epochs=20_000)
    assert run.config() == before and run.state == "finished"
