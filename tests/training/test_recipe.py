"""What changes in the course of a training: the resolution, a whitened stem, averaged weights and the temperature."""

import itertools
from collections import defaultdict

import pytest
import torch

from expertnet.data.augment import augment, normalize
from expertnet.network.evaluation import evaluate
from expertnet.network.stem import whitening_kernels
from expertnet.training import updater
from tests.support.colors import FAST, epochs, trainer


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "muon", "muon_sgd"])
def test_a_random_router_keeps_the_initial_weights_of_one_that_learns(data, optimizer):
    same = {"training.optimizer": optimizer, "training.weight_decay": 0.1, "training.epochs": 1, "seed": 3}
    learned = trainer(data, **same).weights()
    training = trainer(data, **same | {"model.routing": "random", "training.ema": 0.9, "training.gradient_clip": 1.0})
    assert training.weights().keys() == learned.keys()
    assert all(torch.equal(value, learned[name]) for name, value in training.weights().items())
    list(training.run())
    for weights in (training.weights(), training.weights(training.model)):
        for name, value in weights.items():
            if name.endswith("weight"):
                assert torch.equal(value, learned[name]) == (".branch." in name), name
    other = trainer(data, **same | {"seed": 4, "model.routing": "random"}).weights()
    name = "backbone.blocks.0.branch.route.weight"
    assert not torch.equal(other[name], learned[name])
    images = normalize(data.test.images, training.mean, training.std)
    assert training.evaluated.eval()(images, True)[1].std(0).min() > 0  # it depends on the image


def test_the_resolution_grows_in_equal_shares_of_the_steps_and_evaluation_is_at_the_full_one(data):
    run, trained, evaluated = trainer(data, **{"data.resolutions": (4, 6, 8)}), [], []

    def record(stem, inputs):
        (trained if stem.training else evaluated).append(inputs[0].shape[-1])

    run.model.stem.register_forward_pre_hook(record)
    list(run.run())
    assert trained == [4] * 6 + [6] * 6 + [8] * 6
    assert set(evaluated) == {8}


def test_smoothed_labels_are_shared_among_all_classes(data):
    """Against the loss on paper: a fifth of each target is spread evenly over the two classes."""
    run, logits = trainer(data, **{"training.label_smoothing": 0.2}), []
    run.model.classifier.register_forward_hook(lambda *given: logits.append(given[-1].detach()))
    loss, _ = run.updater.step(torch.arange(16), 0, 0.0)
    logs, labels = logits[0].log_softmax(1), data.train.labels[:16]
    right, wrong = logs.gather(1, labels[:, None]), logs.gather(1, 1 - labels[:, None])
    torch.testing.assert_close(loss, -(0.9 * right + 0.1 * wrong).mean())


def drawn(monkeypatch, data, **settings):
    """Train without crops, and return the epoch (from 0), the image and whether it was mirrored, of each image of each step."""
    order, mirrored = [], []

    def recorded(images, *given):
        result = augment(images, *given)
        mirrored.append((result == images.flip(3)).flatten(1).all(1))
        return result

    monkeypatch.setattr(updater, "augment", recorded)
    run = trainer(data, **settings | {"data.flip": "on", "data.alternating_flip": True, "data.crop_padding": 0})
    step = run.updater.step
    monkeypatch.setattr(run.updater, "step", lambda chosen, *given: order.append(chosen) or step(chosen, *given))
    list(run.run())
    return [
        (place // run.steps, image, flipped)
        for place, (images, flips) in enumerate(zip(order, mirrored, strict=True))
        for image, flipped in zip(images.tolist(), flips.tolist(), strict=True)
    ]


def test_alternating_flips_mirror_each_image_in_every_second_epoch_and_half_of_them_in_each(data, monkeypatch):
    flips = torch.full((3, len(data.train.labels)), -1)
    for epoch, image, flipped in drawn(monkeypatch, data):
        flips[epoch, image] = flipped
    seen = flips[:, (flips >= 0).all(0)]  # the last batch of each epoch is left out if it is not full
    assert torch.equal(seen[1], 1 - seen[0]) and torch.equal(seen[2], seen[0])
    assert 0.2 < seen[0].float().mean() < 0.8, seen


def test_what_is_drawn_several_times_in_an_epoch_is_mirrored_at_random(data, monkeypatch):
    """Where classes are balanced by sampling, all draws of an image in an epoch would look the same if its epochs alternated."""
    flips = defaultdict(set)
    for epoch, image, flipped in drawn(monkeypatch, data, **{"data.class_balance": "sampling"}):
        flips[epoch, image].add(flipped)
    assert {False, True} in flips.values()


@pytest.mark.slow
def test_the_bias_of_a_whitened_stem_learns_for_three_epochs_however_often_a_run_is_prolonged(data):
    state, biases = None, []
    for total in (2, 4, 5):
        made = trainer(data, **FAST | {"training.epochs": total, "training.lr": 0.01})
        if state is not None:
            made.load_state_dict(state)
        for record in made.run():
            if record.kind == "epoch":
                state = made.state_dict()
                biases.append(state["weights"]["stem.conv.bias"])
    changed = [not torch.equal(before, after) for before, after in itertools.pairwise(biases)]
    assert changed == [True, True, False, False]


def test_a_whitened_stem_whitens_the_training_images_and_only_its_bias_learns(data):
    run = trainer(data, **FAST | {"data.flip": "on", "data.six_views": True})
    before = run.weights()
    images = normalize(data.train.images, run.mean, run.std)
    torch.testing.assert_close(before["stem.conv.weight"], whitening_kernels(images))
    records = list(run.run())
    after = run.weights()
    assert torch.equal(before["stem.conv.weight"], after["stem.conv.weight"])
    assert not torch.equal(before["stem.conv.bias"], after["stem.conv.bias"])
    line, test = epochs(records)[-1], records[-1].test
    assert line["routing_entropy"][0] is line["routing_information"][0] is None and line["routing_entropy"][1] > 0
    assert line["expert_usage"][0] == [1, 0, 0]
    assert test["test_accuracy"] > 0.9 and test["test_accuracy_views"] > 0.9


@pytest.mark.parametrize("warms_up", [True, False])
def test_averaged_weights_are_those_evaluated(data, warms_up):
    """Against the average on paper: the first step's weights, then moved towards the new ones, at first in large steps."""
    run, expected, steps = trainer(data, **{"training.ema": 0.9, "training.epochs": 1}), None, 0
    if not warms_up:
        run.load_state_dict(
            {k: v for k, v in run.state_dict().items() if k != "average_warms_up"}
        )  # of an older version
    for record in run.run():
        if record.kind == "step":
            now = run.model.classifier.head.weight.detach().clone()
            decay = min(0.9, (1 + steps) / (10 + steps)) if warms_up else 0.9
            expected = now if expected is None else decay * expected + (1 - decay) * now
            steps += 1
        if record.kind == "epoch":
            break
    torch.testing.assert_close(run.weights()["classifier.head.weight"], expected)
    assert not torch.equal(run.weights()["classifier.head.weight"], run.model.classifier.head.weight)


@pytest.mark.slow
def test_a_short_run_learns_with_strong_averaging(data):
    """With 0.99, an average that moves at one rate would still be close to the first of these 60 steps."""
    run = trainer(data, **{"training.ema": 0.99, "training.epochs": 10})
    accuracies = [line["val_accuracy"] for line in epochs(run.run())]
    assert accuracies[-1] > 0.8, accuracies


def test_the_temperature_falls_to_one_and_is_saved_as_it_was_evaluated(data):
    run = trainer(data, **{"training.temperature": 30.0, "training.temperature_share": 0.5, "training.ema": 0.9})
    seen = []
    for record in run.run():
        if record.kind == "step":
            seen.append(run.model.backbone.blocks[0].branch.temperature.item())
            assert run.evaluated.backbone.blocks[0].branch.temperature.item() == seen[-1]
    assert (
        seen[0] > 20
        and seen == sorted(seen, reverse=True)
        and seen[len(seen) // 2 :] == [1.0] * (len(seen) - len(seen) // 2)
    )


@pytest.mark.slow
def test_mirrored_views_are_reported_beside_the_single_view(data):
    run = trainer(data, **{"data.flip": "on"})
    test = list(run.run())[-1].test
    assert 0.5 < test["test_accuracy_mirrored"] <= 1  # of a task in which left and right do not matter
    net = run.evaluated.eval()
    images = normalize(data.test.images, run.mean, run.std)
    with torch.no_grad():
        both = net(images) + net(images.flip(3))
    by_hand = (both.argmax(1) == data.test.labels).float().mean().item()
    result = evaluate(net, data.test, data.info.mean, data.info.std, mirrored=True)
    assert result.accuracy_mirrored == pytest.approx(by_hand)
    assert list(trainer(data, **{"data.flip": "off"}).run())[-1].test["test_accuracy_mirrored"] is None
