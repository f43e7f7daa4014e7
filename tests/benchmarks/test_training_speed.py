"""The ways to train whose speeds are compared."""

from itertools import islice

import pytest
import torch

from benchmarks.training_speed import baseline, speed_settings, trained
from expertnet.data.datasets import load_dataset
from expertnet.network.model import ExpertNet
from expertnet.settings.presets import PRESETS
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
def test_all_ways_take_images_of_the_full_size(preset):
    """As for the ceiling and the operations per image. The presets show smaller images in the first epochs."""
    assert PRESETS[preset].values["data"]["resolutions"]
    settings = speed_settings(preset, "digits", TINY | {"data.resolutions": "12,14,16", "data.cutout": 0})
    data = load_dataset(settings.data, settings.seed)
    network = ExpertNet(settings.model, 10)
    with seen_sizes() as sizes:
        # the images of a trainer become larger at a third of its steps
        for way in (trained(settings, data), baseline(settings, data, torch.device("cpu"), network)):
            assert len(list(islice(way, 10))) == 10
    assert len(sizes) == 20 and set(sizes) == {16}
