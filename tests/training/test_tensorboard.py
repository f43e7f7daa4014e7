"""Scalars for TensorBoard: read back with TensorBoard's own reader."""

import pytest

from expertnet.settings.fields import build_settings
from expertnet.store.run_store import RunStore
from expertnet.training.tensorboard import TensorBoardLog


def run_with(**settings):
    return RunStore().create(build_settings("quick", "digits", settings))


def metrics(epoch, loss=0.5):
    return {
        "epoch": epoch,
        "train_loss": loss,
        "train_accuracy": 0.5,
        "val_loss": None,
        "val_accuracy": 0.75,
        "lr": 0.001,
        "images_per_second": 100.0,
        "routing_entropy": [1.0, None],
    }


def read(run):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = accumulator.EventAccumulator(str(run.path / "tensorboard")).Reload()
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def test_off_it_writes_nothing():
    run = run_with()
    with TensorBoardLog(run) as log:
        log.write(metrics(1))
    assert not (run.path / "tensorboard").exists()


def test_figures_of_every_epoch():
    pytest.importorskip("tensorboard")
    run = run_with(**{"training.tensorboard": True})
    with TensorBoardLog(run) as log:
        log.write(metrics(1))
        log.write(metrics(2, 0.25))
    found = read(run)
    assert found["loss/train"] == [(1, 0.5), (2, 0.25)]
    assert set(found) == {
        "loss/train",
        "accuracy/train",
        "accuracy/validation",
        "training/learning rate",
        "training/images per second",
        "routing entropy/block 1",
    }


def test_an_epoch_that_is_gone_through_again_counts_as_its_last_time():
    pytest.importorskip("tensorboard")
    run = run_with(**{"training.tensorboard": True})
    for first, last, loss in ((1, 3, 0.5), (3, 4, 0.25)):
        with TensorBoardLog(run) as log:
            for epoch in range(first, last + 1):
                log.write(metrics(epoch, loss))
    assert read(run)["loss/train"] == [(1, 0.5), (2, 0.5), (3, 0.25), (4, 0.25)]


def test_where_the_test_set_is_watched_the_names_say_so():
    pytest.importorskip("tensorboard")
    run = run_with(**{"training.tensorboard": True, "data.validation_share": 0})
    with TensorBoardLog(run) as log:
        log.write(metrics(1))
    assert "accuracy/test set" in read(run) and "accuracy/validation" not in read(run)
