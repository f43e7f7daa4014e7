"""The cached routing of a test set is used only if it is of this network and of the images that it was trained on."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from expertnet.errors import RunError
from expertnet.inference import routing_cache
from expertnet.inference.routing_cache import cache_tensors, cached_routing, route_test_set
from tests.support.lab import COLORS, predictor, random_split, read_only, saved_run


@pytest.mark.parametrize(
    "broken",
    [
        {"routing": torch.zeros(0, 3, 3)},
        {"routing": torch.full((40, 2, 3), 1 / 3)},
        {"routing": torch.full((40, 3, 2), 0.5)},
        {"routing": torch.full((40, 3), 1 / 3)},
        {"routing": torch.zeros(40, 3, 3, dtype=torch.int32)},
        {"routing": torch.full((40, 3, 3), float("nan"))},
        {"routing": torch.full((40, 3, 3), 1.0)},
        {"labels": torch.full((40,), 99)},
        {"labels": torch.full((40,), -3)},
        {"labels": torch.zeros(39, dtype=torch.int16)},
        {"predictions": torch.full((40,), 2)},
        {"predictions": torch.zeros(40)},
        {"labels": None},
        {"labels": torch.zeros(())},
        {"labels": torch.zeros(40, dtype=torch.uint16)},
        {"predictions": torch.zeros(40, dtype=torch.complex64)},
        {"routing": torch.zeros(40, 3, 3, dtype=torch.float8_e8m0fnu)},
    ],
    ids=lambda broken: f"{next(iter(broken))} {getattr(next(iter(broken.values())), 'shape', '')}",
)
def test_a_routing_of_another_network_is_ignored(tmp_path, broken):
    run = saved_run(tmp_path / "runs")
    split = random_split()
    routed = route_test_set(run, split)
    sound = {
        "routing": routed.routing.half(),
        "labels": routed.labels.short(),
        "predictions": routed.predictions.short(),
    }
    cache_tensors(run, "routing", "best", predictor(), sound)
    assert torch.equal(cached_routing(run).labels, routed.labels)
    assert cached_routing(run) is cached_routing(run)  # made once
    tensors = {name: value for name, value in (sound | broken).items() if value is not None}
    cache_tensors(run, "routing", "best", predictor(), tensors)
    assert cached_routing(run) is None
    assert torch.equal(route_test_set(run, split).predictions, routed.predictions)


@pytest.mark.parametrize(
    ("fingerprint", "metadata", "used"),
    [
        ("folder-0-8px-v2", {"images": "folder-0-8px-v2"}, True),
        ("folder-0-8px-v2", {"images": "folder-1-8px-v2"}, False),
        ("folder-0-8px-v2", {}, False),  # of an older version, which routed whatever the folder held
        ("digits-8px-v2", {}, True),
    ],
)
def test_a_routing_of_other_images_is_computed_again(tmp_path, fingerprint, metadata, used):
    run, split = saved_run(tmp_path / "runs"), random_split()
    run.write_config(run.config() | {"dataset": COLORS.to_dict() | {"fingerprint": fingerprint}})
    path = run.path / "routing-best.safetensors"
    routed = route_test_set(run, split)
    save_file(load_file(path) | {"predictions": 1 - routed.predictions}, path, {"epoch": "1"} | metadata)
    assert (cached_routing(run) is not None) == used
    expected = 1 - routed.predictions if used else routed.predictions
    assert torch.equal(route_test_set(run, split).predictions, expected)


def test_a_routing_whose_order_is_not_certain_is_used_only_without_the_images(tmp_path):
    """Older versions decoded folders and archives in an order that depended on the number of threads."""
    run, split = saved_run(tmp_path / "runs"), random_split()
    run.write_config(run.config() | {"dataset": COLORS.to_dict() | {"fingerprint": "archive-0-8px-v2"}})
    routed = route_test_set(run, split)
    path = run.path / "routing-best.safetensors"
    tensors = {name: tensor.flip(0) for name, tensor in load_file(path).items()}
    # as an older version, in another order within each class
    save_file(tensors | {"labels": routed.labels.short()}, path, {"epoch": "1"})
    assert torch.equal(cached_routing(run).predictions, routed.predictions.flip(0))
    assert cached_routing(run, split=split) is None
    assert torch.equal(route_test_set(run, split).predictions, routed.predictions)


def test_a_routing_of_other_labels_is_computed_again(tmp_path):
    run, split = saved_run(tmp_path / "runs"), random_split()
    route_test_set(run, split)
    turned = split.take(torch.arange(len(split)).flip(0))
    assert torch.equal(route_test_set(run, turned).labels, turned.labels)


def test_routing_that_is_not_finite_is_refused_with_a_sentence(tmp_path):
    run = saved_run(tmp_path / "runs")
    weights, epoch = run.checkpoints.load("best")
    weights["backbone.blocks.1.branch.route.weight"].fill_(3e38)  # finite, but not what they give
    run.checkpoints.save("best", weights, epoch)
    with pytest.raises(RunError, match="routing weights that are not finite numbers"):
        route_test_set(run, random_split())
    assert not (run.path / "routing-best.safetensors").exists()


def test_what_cannot_be_cached_is_returned_nevertheless(tmp_path, monkeypatch):
    run, split = saved_run(tmp_path / "runs"), random_split()
    monkeypatch.setattr(routing_cache, "write_atomically", read_only)  # whoever runs the tests may write everywhere
    assert torch.equal(route_test_set(run, split).labels, split.labels) and cached_routing(run) is None
