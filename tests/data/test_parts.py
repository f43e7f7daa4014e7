"""Parts of the training images are those of load_dataset."""

import torch

from expertnet.data.datasets import load_dataset
from expertnet.data.parts import load_training_sample, load_validation_split
from tests.support.small import settings


def test_the_validation_images_are_those_that_training_held_out():
    data = settings().data
    for seed in (0, 3):
        whole, found = load_dataset(data, seed).validation, load_validation_split(data, seed)
        assert torch.equal(found.images, whole.images) and torch.equal(found.labels, whole.labels)


def test_a_sample_has_training_images_alone_and_each_class_has_its_share():
    data = settings().data
    whole, sample = load_dataset(data, 3).train, load_training_sample(data, 3, 200)
    assert torch.equal(load_training_sample(data, 3, 5000).images, whole.images)
    known = {image.numpy().tobytes() for image in whole.images}
    assert all(image.numpy().tobytes() in known for image in sample.images)
    share = whole.labels.bincount() * 200 / len(whole)
    assert (sample.labels.bincount() - share).abs().max() <= 1
    without = settings(**{"data.validation_share": 0}).data
    assert len(load_training_sample(without, 3, 5000)) == 1438
