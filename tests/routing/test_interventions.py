"""Routing changed by hand, against the network as it is and against a plain pass for every change."""

import math
import re

import pytest
import torch

from expertnet.data.augment import normalize
from expertnet.data.datasets import DatasetInfo
from expertnet.data.splits import Split
from expertnet.errors import RunError
from expertnet.findings.report import write_report
from expertnet.inference.predictor import Predictor
from expertnet.inference.routing_cache import keep, kept_routing, route_test_set
from expertnet.network.model import ExpertNet
from expertnet.routing import effects as effects_module
from expertnet.routing.ablations import ablation_name, ablation_table, class_effects, measure_ablations
from expertnet.routing.effects import POLICIES, Effects, cached_effects, flipped
from expertnet.routing.feature_maps import feature_maps
from expertnet.routing.interventions import (
    ablated,
    applied,
    forced,
    from_text,
    given,
    swapped,
    to_text,
    top1,
    uniform,
    with_weight,
)
from expertnet.routing.policies import measure_policies, policy_table
from expertnet.routing.usage import expert_table
from expertnet.settings.fields import build_settings
from expertnet.settings.schema import ModelSettings
from expertnet.store.notes import Notes
from expertnet.store.run_store import RunStore

INFO = DatasetInfo("colours", ("red", "blue"), (0.5, 0.5, 0.5), (0.2, 0.2, 0.2), 8, "x")
WEIGHTS = torch.tensor([[0.5, 0.3, 0.2], [0.1, 0.0, 0.9], [0.0, 1.0, 0.0]])


def network(**overrides):
    settings = ModelSettings(**({"num_blocks": 3, "channels": 8, "reduction": 2, "pool_after": (1,)} | overrides))
    torch.manual_seed(11)
    net = ExpertNet(settings, 2)
    for module in net.modules():  # statistics and weights that no two experts share
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
        if isinstance(module, torch.nn.Linear):
            module.weight.data.mul_(8)
    with torch.inference_mode():  # both classes are named, and nearly as likely
        logits = net.eval()(normalize(random_images(40), torch.tensor(INFO.mean), torch.tensor(INFO.std)))
        net.classifier.head.bias.data[1] += (logits[:, 0] - logits[:, 1]).median()
    return net


def predictor(**overrides):
    return Predictor(network(**overrides), build_settings("quick", "digits"), INFO, 1)


def random_images(n, seed=4):
    return torch.randint(0, 256, (n, 3, 8, 8), generator=torch.Generator().manual_seed(seed)).to(torch.uint8)


def test_what_each_change_makes_of_the_weights():
    assert ablated(0, renormalise=False)(WEIGHTS).tolist()[0] == pytest.approx([0, 0.3, 0.2])
    assert ablated(0)(WEIGHTS).tolist()[0] == pytest.approx([0, 0.6, 0.4])
    assert ablated(1)(WEIGHTS).tolist()[2] == pytest.approx([0.5, 0, 0.5])  # it had all of the weight
    assert forced(2)(WEIGHTS).tolist() == [[0, 0, 1]] * 3
    assert swapped(0, 2)(WEIGHTS).tolist()[0] == pytest.approx([0.2, 0.3, 0.5])
    assert top1(WEIGHTS).argmax(1).tolist() == [0, 2, 1]
    assert uniform(WEIGHTS)[0].tolist() == pytest.approx([1 / 3] * 3)
    assert given([0.0, 0.25, 0.75])(WEIGHTS).tolist() == [[0, 0.25, 0.75]] * 3
    assert WEIGHTS.tolist()[0] == pytest.approx([0.5, 0.3, 0.2])  # nothing is changed in place


@pytest.mark.parametrize("renormalise", [True, False])
def test_silencing_an_expert_of_no_weight_changes_nothing_to_the_bit(renormalise):
    assert torch.equal(ablated(1, renormalise)(WEIGHTS)[1], WEIGHTS[1])
    net, images = predictor(), random_images(5)
    without = {2: given([0.7, 0.0, 0.3])}
    silent = {2: lambda weights: ablated(1, renormalise)(given([0.7, 0.0, 0.3])(weights))}
    for a, b in zip(net(images, without), net(images, silent), strict=True):
        assert torch.equal(a, b)


def test_uniform_changes_nothing_in_a_uniform_network():
    net, images = predictor(routing="uniform"), random_images(5)
    changes = dict.fromkeys((1, 2, 3), uniform)
    for a, b in zip(net(images), net(images, changes), strict=True):
        assert torch.equal(a, b)


def test_a_change_reaches_its_own_block_and_what_comes_after():
    net, images = predictor(), random_images(5)
    probabilities, routing = net(images)
    other, rerouted = net(images, {2: forced(0)})
    assert torch.equal(rerouted[:, 0], routing[:, 0])
    assert rerouted[:, 1].tolist() == [[1, 0, 0]] * 5
    assert not torch.equal(rerouted[:, 2], routing[:, 2])
    assert not torch.allclose(other, probabilities)


def test_the_mix_of_the_experts_outputs_is_what_the_block_puts_out():
    net = network(residual=True).eval()
    block = net.backbone.blocks[1]
    x = torch.randn(2, 8, 4, 4, generator=torch.Generator().manual_seed(2))
    outputs = list(block.experts.outputs(x))
    y, weights = block(x)
    plain = x + sum(weights[:, k, None, None, None] * outputs[k] for k in range(3))
    assert torch.allclose(y, plain, atol=1e-6)


@pytest.fixture
def run(tmp_path):
    """A run with a checkpoint whose experts matter."""
    overrides = {"model.num_blocks": 3, "model.channels": 8, "model.reduction": 2, "model.pool_after": (1,)}
    overrides |= {"data.image_size": 8, "data.crop_padding": 1}
    run = RunStore(tmp_path).create(build_settings("quick", "digits", overrides))
    run.write_config(run.config() | {"dataset": INFO.to_dict()})
    run._save_weights("best", {k: v.contiguous() for k, v in network().state_dict().items()}, 1)
    run.write_status(run.status().changed(state="finished", epoch=1))
    return run


@pytest.mark.parametrize("renormalise", [True, False])
def test_silencing_the_test_set_is_a_plain_pass_for_every_expert(run, monkeypatch, renormalise):
    monkeypatch.setattr(effects_module, "EVALUATION_BATCH", 16)
    split = Split(random_images(40), torch.arange(40) % 2)
    routed = route_test_set(run, split)
    effects = measure_ablations(run, split, routed, renormalise)
    net = predictor()
    for block in range(3):
        for expert in range(3):
            plain = net(split.images, {block + 1: ablated(expert, renormalise)})[0].argmax(1)
            assert torch.equal(effects.changed[block, expert], plain)
    assert (effects.changed != effects.learned).any()
    kept = cached_effects(run, ablation_name(renormalise))
    assert torch.equal(kept.changed, effects.changed)
    assert cached_effects(run, ablation_name(not renormalise)) is None


def test_the_six_routings_are_plain_passes_with_those_weights(run):
    split = Split(random_images(40), torch.arange(40) % 2)
    routed = route_test_set(run, split)
    effects = measure_policies(run, split, routed)
    net, routing = predictor(), routed.routing
    plain = {
        "learned": {},
        "uniform": {b: given([1 / 3] * 3) for b in (1, 2, 3)},
        "first": dict.fromkeys((1, 2, 3), top1),
        "mean": {b: given(routing[:, b - 1].mean(0)) for b in (1, 2, 3)},
        "class": {
            b: given(torch.stack([routing[i % 2 :: 2, b - 1].double().mean(0) for i in range(40)])) for b in (1, 2, 3)
        },
    }
    for row, policy in zip(effects.changed, POLICIES, strict=True):
        if policy != "shuffled":
            assert torch.equal(row, net(split.images, plain[policy])[0].argmax(1)), policy
    kept = cached_effects(run, "policies")
    assert torch.equal(kept.changed, effects.changed)
    assert cached_effects(run, "policies") is kept  # so that its figures are made once
    effects_module.save_effects(
        Effects(effects.labels, effects.learned, effects.changed.flip(0)), "policies", run, "best", net
    )
    assert torch.equal(cached_effects(run, "policies").changed, effects.changed.flip(0))


def test_what_was_kept_for_another_epoch_is_not_shown(run):
    split = Split(random_images(40), torch.arange(40) % 2)
    measure_policies(run, split, route_test_set(run, split))
    run._save_weights("best", {k: v.contiguous() for k, v in network().state_dict().items()}, 2)
    assert kept_routing(run) is None
    assert cached_effects(run, "policies") is None


def effects():
    labels = torch.tensor([0, 0, 1, 1])
    learned = torch.tensor([0, 0, 1, 0])
    changed = torch.tensor([[[0, 0, 1, 0], [1, 1, 1, 1]]])  # one block, two experts: no effect; two lost and one won
    return Effects(labels, learned, changed)


def test_accuracy_change_interval_and_flips_by_hand():
    routing = torch.tensor([[[0.02, 0.98]]] * 4)
    table = ablation_table(effects(), expert_table(routing))
    assert table["accuracy"].tolist() == [0.75, 0.5]
    assert table["change"].tolist() == [0, -0.25]
    deviation = math.sqrt((3 - 4 * 0.25**2) / 4)  # differences -1, -1, 0, 1
    assert table["low"][1] == pytest.approx(-0.25 - 1.96 * deviation / 2)
    assert table["high"][1] == pytest.approx(-0.25 + 1.96 * deviation / 2)
    assert table["flipped"].tolist() == [0, 3]
    assert table["dead"].tolist() == [True, False]
    assert flipped(effects(), 1, 2) == [0, 1, 3]


def test_an_expert_with_little_weight_and_an_effect_is_not_dead():
    routing = torch.tensor([[[0.98, 0.02]]] * 4)
    assert ablation_table(effects(), expert_table(routing))["dead"].tolist() == [False, False]


def test_effects_by_class_by_hand():
    table = class_effects(effects(), ("red", "blue"))
    second = table[table["expert"] == 2].set_index("class")["change"]
    assert second.to_dict() == {"red": -1, "blue": 0.5}
    assert class_effects(effects(), ("red", "blue", "none"))["class"].nunique() == 2


def test_the_table_of_policies_compares_with_the_learned_routing(run):
    split = Split(random_images(40), torch.arange(40) % 2)
    table = policy_table(measure_policies(run, split, route_test_set(run, split)))
    assert table["policy"].tolist() == list(POLICIES)
    assert table.iloc[0][["change", "flipped"]].tolist() == [0, 0]


def test_a_weight_set_by_hand_keeps_the_sum_and_the_others_proportions():
    assert with_weight([0.5, 0.3, 0.2], 0, 0.1) == pytest.approx([0.1, 0.54, 0.36])
    assert with_weight([1.0, 0.0, 0.0], 0, 0.4) == pytest.approx([0.4, 0.3, 0.3])
    assert with_weight([0.0, 1.0], 1, 0.25) == pytest.approx([0.75, 0.25])
    assert applied(swapped(0, 1), [0.9, 0.1]) == pytest.approx([0.1, 0.9])


def test_weights_stand_in_an_address_and_what_is_none_is_left_out():
    changed = {3: [1.0, 0.0, 0.0], 1: [0.5, 0.3, 0.2]}
    assert to_text(changed) == "1:0.5,0.3,0.2;3:1,0,0"
    assert from_text(to_text(changed), 3, 3) == changed
    assert from_text("", 3, 3) == {}
    for wrong in (
        "4:1,0,0",
        "0:1,0,0",
        "1:1,0",
        "1:0.9,0.9,0.9",
        "1:2,-1,0",
        "1:nan,0,1",
        "1:inf,0,0",
        "x:1,0,0",
        "1",
        ";;:",
    ):
        assert from_text(f"{wrong};2:0,1,0", 3, 3) == {2: [0, 1, 0]}, wrong


def test_feature_maps_and_their_mix_are_those_of_the_block():
    net, image = predictor(residual=True), random_images(1)[0]
    maps, mix, weights = feature_maps(net, image, 2)
    assert (maps.shape, mix.shape) == ((3, 8, 4, 4), (8, 4, 4))
    assert torch.allclose(mix, (weights[:, None, None, None] * maps).sum(0), atol=1e-6)
    assert torch.allclose(weights, net(image[None])[1][0, 1])


def test_a_report_is_clean_text_in_which_names_are_harmless(run, tmp_path):
    split = Split(random_images(40), torch.arange(40) % 2)
    measure_policies(run, split, route_test_set(run, split))
    run.write_config(run.config() | {"data": run.config()["data"] | {"dataset": str(tmp_path / "gone.zip")}})
    run.annotate(Notes(name="![x](http://a.b) <b>: (1)"))
    written = write_report(run, tmp_path / "report")
    assert all(path.is_file() for path in written)
    text = (tmp_path / "report" / "index.md").read_text()
    title, *sentences = [line for line in text.splitlines() if line.startswith("#")]
    assert title == r"# Routing of !\[x\](http&#58;//a.b) &#60;b&#62;: (1)"
    assert any(line.startswith("## Blocks by what their routing does: ") and "(" in line for line in sentences)
    assert not any("\\" in line for line in sentences)
    assert set(re.findall(r"\]\((.+?)\)", text)) - {"http&#58;//a.b"} == {
        path.name for path in written if path.suffix in (".csv", ".svg")
    }
    assert "gone.zip" in text.splitlines()[-1]
    assert (
        write_report(run, tmp_path / "report") == written
    )  # of the same network, so nothing else's files stay among them
    for folder, index in ((tmp_path / "own", "# My notes"), (tmp_path / "report", text.replace(run.id, "another"))):
        folder.mkdir(exist_ok=True)
        (folder / "index.md").write_text(index)
        with pytest.raises(RunError, match="does not say it is of this run"):
            write_report(run, folder)
        assert (folder / "index.md").read_text() == index

    def cut_off(activity, share):
        if activity.startswith("Writing information"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_report(run, tmp_path / "half", progress=cut_off)
    assert run.id in (tmp_path / "half" / "index.md").read_text()


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
    ],
    ids=lambda broken: f"{next(iter(broken))} {getattr(next(iter(broken.values())), 'shape', '')}",
)
def test_a_kept_routing_that_is_not_of_this_network_is_not_shown(run, broken):
    split = Split(random_images(40), torch.arange(40) % 2)
    routed = route_test_set(run, split)
    sound = {
        "routing": routed.routing.half(),
        "labels": routed.labels.short(),
        "predictions": routed.predictions.short(),
    }
    keep(run, "routing", "best", 1, sound)
    assert torch.equal(kept_routing(run).labels, routed.labels)
    assert kept_routing(run) is kept_routing(run)  # made once
    keep(run, "routing", "best", 1, {name: value for name, value in (sound | broken).items() if value is not None})
    assert kept_routing(run) is None
    assert torch.equal(route_test_set(run, split).predictions, routed.predictions)


@pytest.mark.parametrize(
    "tensors",
    [
        {"other": torch.zeros(6, 40, dtype=torch.uint8)},
        {"changed": torch.full((6, 40), 99, dtype=torch.uint8)},
        {"changed": torch.zeros(6, 39, dtype=torch.uint8)},
        {"changed": torch.zeros(5, 40, dtype=torch.uint8)},
        {"changed": torch.zeros(6, 40)},
    ],
)
def test_kept_effects_that_are_not_of_this_network_are_not_shown(run, tensors):
    route_test_set(run, Split(random_images(40), torch.arange(40) % 2))
    keep(run, "policies", "best", 1, tensors)
    assert cached_effects(run, "policies") is None
