"""Steps and times of a training before it starts."""

from types import SimpleNamespace

import numpy as np
import pytest

from expertnet.data.builtin import BUILTIN
from expertnet.data.datasets import load_dataset
from expertnet.settings.fields import build_settings
from expertnet.store.index import run_rows
from expertnet.training.pace import ENOUGH_STEPS, expected_seconds, fitted, step_count, time_left, training_images
from expertnet.training.progress import Progress
from expertnet.training.runner import run_training
from expertnet.training.stop import Stop
from expertnet.utils.processes import this_process
from tests.support.small import settings as small


def earlier(seconds=2.0, device="CPU, 2 threads", process=None, images=1280, epochs=(), **overrides):
    """Return the row of a run that took so many seconds for each of three epochs, or as long as `epochs` say."""
    status = (SimpleNamespace(device=device, is_here=process is None),)
    settings = build_settings("quick", "digits", overrides)
    curves = {"seconds": np.array(epochs or [9.0, seconds, seconds])}
    return SimpleNamespace(settings=settings, images=images, curves=curves, status=status[0])


def test_the_images_and_steps_of_the_digits_are_those_of_their_training():
    settings = build_settings("quick", "digits")
    data = load_dataset(settings.data, 0)
    known = BUILTIN["digits"]
    assert (len(data.train) + len(data.validation), len(data.test)) == (known.train_images, known.test_images)
    assert abs(training_images(settings) - len(data.train)) <= 10  # rounded in each class
    assert step_count(settings, len(data.train)) == 12 * (len(data.train) // 128)


def test_a_batch_larger_than_the_training_set_counts_no_images_that_there_are_not(store):
    run = store.create(small(**{"training.batch_size": 4096}))
    assert run_training(run, Stop()).steps == 1
    (row,) = run_rows(store)
    images = len(load_dataset(run.settings().data, 0).train)
    assert row.images == images < 4096
    epoch = run.metrics()[0]["seconds"]
    assert expected_seconds(run.settings(), images, [row]) == pytest.approx(epoch)


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        (5000, (128, 12)),  # 468 steps
        (1200, (32, 12)),  # 444 steps; 64 would give 216
        (300, (16, 20)),  # 18 steps an epoch, so 17 would do
        (30, (16, 300)),
        (3, (16, 300)),
    ],
)
def test_few_images_get_enough_steps(images, expected):
    settings = build_settings("quick")
    size, epochs = fitted(settings, images)
    assert (size, epochs) == expected
    assert epochs * max(images // size, 1) >= ENOUGH_STEPS


def test_the_time_is_that_of_the_newest_alike_run_on_this_computer():
    settings = build_settings("quick", "digits", {"hardware.device": "cpu"})
    assert expected_seconds(settings, 1280, [earlier()]) == pytest.approx(24)  # 12 epochs of 2 seconds
    assert expected_seconds(settings, 640, [earlier(3.0), earlier()]) == pytest.approx(18)
    twice = expected_seconds(settings, 1280, [earlier(**{"model.channels": 64})])
    assert twice == pytest.approx(24 / 4, rel=0.1)  # four times as many multiply-adds
    for other in (
        earlier(process=this_process()),
        earlier(device="NVIDIA H100"),
        earlier(images=0),
        earlier(float("nan")),
        earlier(**{"model.channels": 256}),
        earlier(**{"training.batch_size": 16}),  # slower by the image
    ):
        other.curves["seconds"][0] = np.nan if np.isnan(other.curves["seconds"][1]) else 9.0
        assert expected_seconds(settings, 1280, [other]) is None


def test_an_epoch_in_which_only_the_classifier_learns_counts_as_a_third():
    base = {"hardware.device": "cpu", "model.start_from": "x"}
    frozen = build_settings("quick", "digits", base | {"training.frozen_epochs": 9})  # of 12
    whole = build_settings("quick", "digits", {"hardware.device": "cpu"})
    assert expected_seconds(frozen, 1280, [earlier()]) == pytest.approx(2 * (9 / 3 + 3))
    mostly = earlier(**{"model.start_from": "x", "training.frozen_epochs": 2})  # of 3
    assert expected_seconds(whole, 1280, [mostly]) == pytest.approx(12 * 3 * 2)
    assert expected_seconds(frozen, 1280, [mostly]) == pytest.approx(2 * (9 + 3 * 3))
    half = earlier(epochs=[2.0, 2.0, 6.0, 6.0], **{"model.start_from": "x", "training.frozen_epochs": 2})
    assert expected_seconds(whole, 1280, [half]) == pytest.approx(12 * 6)
    early = earlier(**{"model.start_from": "x", "training.frozen_epochs": 1})
    assert expected_seconds(whole, 1280, [early]) == pytest.approx(12 * 2)


def test_the_time_left_of_a_run_counts_its_frozen_epochs_as_a_third():
    chosen = {"hardware.device": "cpu", "model.start_from": "x", "training.frozen_epochs": 9}
    settings = build_settings("quick", "digits", chosen)  # 12 epochs, and 6 in whole ones
    # after 3 frozen epochs in 9 seconds, 6 frozen and 3 whole ones remain; a whole one takes 9 seconds
    assert time_left(settings, Progress("step", 3, 10, 10), 9.0, 0) == pytest.approx(6 * 3 + 3 * 9)
    assert time_left(settings, Progress("step", 10, 10, 10), 36.0, 0) == pytest.approx(2 * 9)
    # resumed after 6 epochs: 3 frozen and half a whole one
    assert time_left(settings, Progress("step", 10, 5, 10), 13.5, 6) == pytest.approx(2.5 * 9)
    assert time_left(build_settings("quick"), Progress("step", 3, 10, 10), 9.0, 0) == pytest.approx(9 * 3)
