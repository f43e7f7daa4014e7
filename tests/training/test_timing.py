"""Training steps that are timed before a network like it has been trained."""

import pytest
import torch

from expertnet.settings.fields import build_settings
from expertnet.settings.presets import PRESETS
from expertnet.training.timing import can_time, likely_seconds, seconds_per_image
from expertnet.utils.progress import Cancelled

SMALL = {"hardware.device": "cpu", "model.num_blocks": 2, "model.channels": 8, "data.image_size": 8}


@pytest.mark.parametrize("preset", PRESETS)
def test_the_networks_of_the_presets_are_timed_without_a_change_to_the_random_numbers_of_trainings(preset):
    settings = build_settings(preset, "digits", {"hardware.device": "cpu"})
    before = torch.get_rng_state()
    assert can_time(settings) and seconds_per_image(settings, 1) > 0
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    "changes",
    [
        {"model.mixing": "kernels", "model.gates": "odconv"},
        {"model.top_k": 1, "training.batch_size": 1},
        {"hardware.precision": "bf16", "hardware.channels_last": False},
    ],
)
def test_other_networks_are_timed_too(changes):
    assert seconds_per_image(build_settings("report", "digits", SMALL | changes), 1) > 0


def test_timing_stops_on_request_before_its_first_step():
    with pytest.raises(Cancelled):
        seconds_per_image(build_settings("quick", "digits", SMALL), 1, lambda: True)


@pytest.mark.parametrize(
    "changes",
    [
        {"hardware.processes": 2},
        {"model.channels": 1024, "model.num_blocks": 16},  # half a billion parameters
        {"model.channels": 256, "data.image_size": 128},  # 230 billion multiply-adds for an image
    ],
)
def test_a_step_that_needs_much_or_several_processes_is_not_timed(changes):
    assert can_time(build_settings("report", "digits", {"hardware.device": "cpu"}))
    assert not can_time(build_settings("report", "digits", {"hardware.device": "cpu", **changes}))


def test_a_training_takes_half_to_one_and_a_half_times_as_long_as_the_steps_say():
    settings = build_settings("quick", "digits", {"hardware.compile": "off"})  # 12 epochs
    assert likely_seconds(settings, 1000, 0.001) == pytest.approx((6, 18))
    compiled = build_settings("quick", "digits", {"hardware.compile": "on"})
    assert likely_seconds(compiled, 1000, 0.001) == pytest.approx((3.6, 18))
    frozen = {"hardware.compile": "off", "model.start_from": "x", "training.frozen_epochs": 9}
    assert likely_seconds(build_settings("quick", "digits", frozen), 1000, 0.001) == pytest.approx((3, 9))
