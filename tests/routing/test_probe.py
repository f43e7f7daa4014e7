"""Linear probes of routing weights, where what can be read is known."""

import math

import pytest
import torch

from expertnet.data.splits import Split
from expertnet.inference.predictor import load_predictor
from expertnet.inference.routing_cache import Routed, cache_path, cache_tensors, route_test_set
from expertnet.network.routing_metrics import information
from expertnet.routing.probe import FOLDS, ROUTERS, cached_probes, measure_probes, probe, random_routing
from expertnet.store.run import Run
from tests.support.lab import one_hot, random_images, random_split, saved_run
from tests.support.served import ROOT

LABELS = torch.arange(2000) % 4


def bits(weights, labels=LABELS):
    return probe(weights, labels).mean().item()


def test_what_a_probe_reads_from_choices_of_experts():
    assert bits(one_hot(LABELS, 4)[:, 0]) == pytest.approx(2, abs=0.05)  # each class has its own expert
    assert bits(one_hot(LABELS // 2, 2)[:, 0]) == pytest.approx(1, abs=0.05)  # two classes share an expert
    assert bits(torch.tensor([0.6, 0.2, 0.2]).expand(2000, 3)) == pytest.approx(0, abs=0.001)
    independent = torch.rand(2000, 3, generator=torch.Generator().manual_seed(3)).softmax(1)
    assert -0.02 < bits(independent) < 0.005  # held out, so that it overfits to less than nothing


def test_a_probe_reads_what_a_drawn_expert_hides():
    # The weight of the first expert is uniform around one half, and the logit of the class is linear in it.
    generator = torch.Generator().manual_seed(4)
    logit = 8 * (torch.rand(4000, generator=generator) - 0.5)
    labels = (torch.rand(4000, generator=generator) < logit.sigmoid()).long()
    weights = torch.stack([0.5 + logit / 1000, 0.5 - logit / 1000], 1)
    share = torch.linspace(-4, 4, 100_001).double().sigmoid()
    known = 1 + (share * share.log2() + (1 - share) * (1 - share).log2()).mean().item()
    gain = probe(weights, labels)
    assert 0.3 < known < 0.5 and abs(gain.mean() - known) < 3 * gain.std() / 4000**0.5
    assert information(weights[:, None], labels, 2) < 0.001


def test_labels_need_not_be_numbered_without_gaps():
    assert torch.equal(probe(one_hot(LABELS, 4)[:, 0], 3 * LABELS + 2), probe(one_hot(LABELS, 4)[:, 0], LABELS))


def softmax(logits):
    return logits.softmax(1)


def top1(logits):
    return one_hot(logits.argmax(1), 3)[:, 0]


def sigmoids(logits):
    return logits.sigmoid() / logits.sigmoid().sum(1, keepdim=True)


@pytest.mark.parametrize(
    ("model", "weights"),
    [
        ({}, softmax),
        ({"router_input": "mean_deviation"}, softmax),
        ({"top_k": 1}, top1),
        ({"router_output": "sigmoid"}, sigmoids),
        ({"routing": "uniform", "top_k": 9, "router_input": "mean_deviation"}, softmax),  # which has no router
    ],
)
def test_random_routers_are_those_of_the_blocks_before_training(tmp_path, model, weights):
    net, split = load_predictor(saved_run(tmp_path / "runs", expert_blocks=(1, 3), **model)), random_split()
    seen = []
    for block in (net.model.backbone.blocks[0], net.model.backbone.blocks[2]):
        block.branch.register_forward_pre_hook(lambda module, x: seen.append(x[0]))
    before = torch.get_rng_state()
    found = random_routing(net, split, seed=6)
    assert torch.equal(torch.get_rng_state(), before)  # a training in this process may use it
    assert found.shape == (ROUTERS, 40, 2, 3)
    generator = torch.Generator().manual_seed(6)

    def drawn(*shape, inputs):
        return torch.empty(shape).uniform_(-(inputs**-0.5), inputs**-0.5, generator=generator)

    for place, x in enumerate(seen):
        features = x.mean((2, 3))
        if "router_input" in model and "routing" not in model:
            features = torch.cat([features, x.var((2, 3), correction=0).sqrt()], 1)
        inputs = features.shape[1]
        for router in range(ROUTERS):
            hidden = features @ drawn(4, inputs, inputs=inputs).T + drawn(4, inputs=inputs)
            logits = hidden.relu() @ drawn(3, 4, inputs=4).T + drawn(3, inputs=4)
            torch.testing.assert_close(found[router, :, place], weights(logits), atol=1e-4, rtol=1e-3)
    assert found.std(1).max() > 0  # they tell images apart


@pytest.mark.parametrize("model", [{}, {"top_k": 1}])
def test_random_routers_of_another_kind_that_older_versions_cached_are_drawn_again(tmp_path, model):
    run, split = saved_run(tmp_path / "runs", **model), random_split()
    probes = measure_probes(run, route_test_set(run, split), split)
    assert torch.equal(cached_probes(run, split=split).random, probes.random)
    predictor, tensors = (
        load_predictor(run),
        {name: torch.as_tensor(each).double() for name, each in vars(probes).items()},
    )
    cache_tensors(run, "probes", "best", predictor, tensors)  # as older versions did, which drew plain routers
    assert torch.equal(cached_probes(run).learned, probes.learned)
    assert (cached_probes(run, split=split) is None) == bool(model)


@pytest.mark.slow
def test_probes_are_cached_and_those_without_images_have_no_random_routers(tmp_path):
    run, split = saved_run(tmp_path / "runs"), random_split()
    routed = route_test_set(run, split)
    without = measure_probes(run, routed)
    assert without.random.shape == (0, 3) and cached_probes(run).random.shape == (0, 3)
    probes = measure_probes(run, routed, split)
    cached = cached_probes(run)
    assert cached is cached_probes(run)  # so that its finding is made once
    assert probes.entropy == cached.entropy == pytest.approx(1)
    assert torch.equal(without.learned, cached.learned) and probes.random.shape == (ROUTERS, 3)
    assert torch.equal(probes.random, cached.random)
    cache_path(run, "probes", "best").write_bytes(b"torn")
    assert cached_probes(run) is None


@pytest.mark.parametrize("run", ["20261124-123318-dac5", "20261126-095209-771e", "20261126-073814-d4ec"])
def test_networks_that_ship_come_with_probes_of_random_routers(run):
    assert len(cached_probes(Run(ROOT / "runs" / run)).random) == ROUTERS


def test_classes_with_few_images_are_left_out(tmp_path):
    run = saved_run(tmp_path / "runs")
    for counts, entropy in (((20, FOLDS), -0.8 * math.log2(0.8) - 0.2 * math.log2(0.2)), ((20, FOLDS - 1), 0)):
        labels = torch.tensor([0, 1]).repeat_interleave(torch.tensor(counts))
        split = Split(random_images(len(labels)), labels)
        found = measure_probes(run, Routed(torch.full((len(labels), 3, 3), 1 / 3), labels, labels), split)
        assert found.entropy == pytest.approx(entropy) and found.learned.tolist() == pytest.approx([0] * 3, abs=0.05)
