"""The ways to train whose speeds are compared."""

from itertools import islice

import pytest
import torch

from benchmarks.training_speed import baseline, speed_settings, trained
from expertnet.data.datasets import load_dataset
from expertnet.network.model import ExpertNet
from expertnet.settings.presets import PRESETS
from expertnet.training.trainer import Trainer
from tests.support.sizes import seen_sizes

TINY = {
    "data.image_size": 16,
    "model.widths": (24, 24, 30),
    "training.batch_size": 64,
    "training.epochs": 1,
    "hardware.device": "cpu",
    "hardware.precision": "fp32",
    "hardware.compile": "off",
}


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["fast", "max"])
def test_all_ways_take_images_of_the_full_size_and_evaluate_nothing(preset):
    """As for the ceiling and the operations per image. The presets show smaller images in the first epochs."""
    assert PRESETS[preset].values["data"]["resolutions"]
    settings = speed_settings(preset, "digits", TINY | {"data.resolutions": "12,14,16", "data.cutout": 0})
    data = load_dataset(settings.data, settings.seed)
    network = ExpertNet(settings.model, 10)
    trainer = Trainer(settings, data)
    steps = trainer.steps + 2  # after an epoch, a training evaluates
    with seen_sizes() as sizes:
        for way in (trained(trainer), baseline(settings, data, torch.device("cpu"), network)):
            assert len(list(islice(way, steps))) == steps
    assert len(sizes) == 2 * steps and set(sizes) == {16}
