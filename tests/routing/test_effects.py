"""Cached effects belong to the network and the images that they were measured on."""

from dataclasses import replace
from shutil import copytree

import pytest
import torch
from safetensors.torch import load_file

from expertnet.inference.predictor import load_predictor
from expertnet.inference.routing_cache import cache_path, cache_tensors
from expertnet.routing.ablations import ABLATIONS
from expertnet.routing.effects import load_images, load_part, parts
from expertnet.routing.freezing import FREEZING
from expertnet.routing.headroom import HEADROOM
from expertnet.routing.likeness import LIKENESS
from expertnet.routing.policies import ROUTINGS
from expertnet.routing.robustness import ROBUSTNESS
from expertnet.routing.stability import STABILITY
from expertnet.store.run import Run
from expertnet.store.run_store import RunStore
from tests.support.lab import measured_images, predictor, save_best, saved_run
from tests.support.opening import SHIPPED_CONTEXTS
from tests.support.small import settings


def test_cached_effects_are_one_object_until_they_change(tmp_path):
    run = saved_run(tmp_path / "runs")
    effects = ROUTINGS.measure(run, measured_images())
    cached = ROUTINGS.cached(run, "validation")
    assert torch.equal(cached.answers, effects.answers) and torch.equal(cached.shuffled, effects.shuffled)
    assert ROUTINGS.cached(run, "validation") is cached  # so that its findings are made once
    replace(ROUTINGS, compute=lambda *_: replace(effects, answers=effects.answers.flip(1))).measure(
        run, measured_images()
    )
    assert torch.equal(ROUTINGS.cached(run, "validation").answers, effects.answers.flip(1))


def test_the_validation_and_the_test_images_have_files_of_their_own(tmp_path):
    run = saved_run(tmp_path / "runs")
    for part, count in (("validation", 40), ("test", 30)):
        ROUTINGS.measure(run, measured_images(count, part))
        ABLATIONS.measure(run, measured_images(count, part))
    for measure in (ROUTINGS, ABLATIONS):
        found = [measure.cached(run, part) for part in ("validation", "test")]
        assert [(each.part, len(each.labels)) for each in found] == [("validation", 40), ("test", 30)]


def test_effects_of_another_epoch_are_ignored(tmp_path):
    run = saved_run(tmp_path / "runs")
    ROUTINGS.measure(run, measured_images())
    save_best(run, 2)
    assert ROUTINGS.cached(run, "validation") is None


@pytest.mark.parametrize(
    "change",
    [
        {"answers": torch.full((2, 5, 40), 99, dtype=torch.uint8)},
        {"answers": torch.zeros(2, 5, 39, dtype=torch.uint8)},
        {"answers": torch.zeros(2, 6, 40, dtype=torch.uint8)},
        {"answers": torch.zeros(2, 5, 40)},
        {"shuffled": torch.full((2, 20), 1.5)},
        {"shuffled": torch.full((2, 20), float("nan"))},
        {"other": torch.zeros(40)},
    ],
)
def test_effects_of_another_network_are_ignored(tmp_path, change):
    run = saved_run(tmp_path / "runs")
    ROUTINGS.measure(run, measured_images())
    tensors = load_file(run.path / "routings-validation-best.safetensors")
    cache_tensors(run, "routings-validation", "best", predictor(), tensors)
    assert ROUTINGS.cached(run, "validation") is not None
    cache_tensors(run, "routings-validation", "best", predictor(), tensors | change)
    assert ROUTINGS.cached(run, "validation") is None


@pytest.mark.parametrize("measure", [ROUTINGS, ABLATIONS, FREEZING, HEADROOM, LIKENESS, STABILITY, ROBUSTNESS])
def test_classes_as_floats_and_floats_as_integers_are_not_used(tmp_path, measure):
    """The findings could not be computed from them. They may be in an imported run."""
    run = Run(copytree(SHIPPED_CONTEXTS, tmp_path / SHIPPED_CONTEXTS.name))
    name, network = f"{measure.name}-validation", load_predictor(run)
    tensors = load_file(cache_path(run, name, "best"))
    for key, tensor in tensors.items():
        other = tensor.to(torch.uint8 if tensor.is_floating_point() else torch.float32)
        cache_tensors(run, name, "best", network, tensors | {key: other})
        assert measure.cached(run, "validation") is None, key
    cache_tensors(run, name, "best", network, tensors)
    assert measure.cached(run, "validation") is not None


def test_the_validation_images_are_measured_by_default_and_the_test_images_if_there_are_none(tmp_path):
    store = RunStore(tmp_path / "runs")
    assert parts(store.create(settings())) == ("validation", "test")
    assert parts(store.create(settings(**{"data.validation_share": 0}))) == ("test",)


def test_the_images_of_a_run_are_those_that_it_was_trained_and_validated_with(tmp_path):
    run = RunStore(tmp_path / "runs").create(settings())
    images = load_images(run, "validation")
    pixels = [{image.numpy().tobytes() for image in split.images} for split in (images.evaluated, images.training)]
    assert len(images.evaluated) == 143 and len(images.training) == 1295
    assert not pixels[0] & pixels[1]
    assert torch.equal(load_images(run, "test").evaluated.labels, load_part(run, "test").labels)
    assert len(load_part(run, "test")) == 359
