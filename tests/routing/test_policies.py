"""Routing policies, against plain passes with those weights and results by hand."""

import pytest
import torch

from expertnet.routing.effects import POLICIES, SHUFFLED, SHUFFLES, Images, Routings
from expertnet.routing.interventions import given, top1
from expertnet.routing.paired import paired_interval
from expertnet.routing.passes import calibration_images, estimated
from expertnet.routing.policies import ROUTINGS, policy_table, route_all, shuffled
from tests.support.lab import fitted, measured_images, predictor, saved_run


def plain_changes(routing, labels):
    """The changes of each policy whose weights come from this routing (M, B, K) of training images with two classes."""
    means = [routing[labels == label].double().mean(0) for label in (0, 1)]
    return {
        "learned": lambda labels: {},
        "uniform": lambda labels: {b: given([1 / 3] * 3) for b in (1, 2, 3)},
        "first": lambda labels: dict.fromkeys((1, 2, 3), top1),
        "mean": lambda labels: {b: given(routing[:, b - 1].mean(0)) for b in (1, 2, 3)},
        "class": lambda labels: {b: given(torch.stack([means[c][b - 1] for c in labels])) for b in (1, 2, 3)},
    }


def test_policies_as_shipped_equal_plain_passes_with_weights_of_the_training_images(tmp_path):
    images, net = measured_images(), predictor()
    effects = ROUTINGS.measure(saved_run(tmp_path / "runs"), images)
    changes = plain_changes(net(images.training.images)[1], images.training.labels)
    for row, policy in zip(effects.answers[0], POLICIES, strict=True):
        plain = net(images.evaluated.images, changes[policy](images.evaluated.labels))[0].argmax(1)
        assert torch.equal(row, plain), policy


@pytest.mark.slow
@torch.no_grad()
def test_re_estimated_policies_equal_a_network_whose_norms_are_estimated_under_them():
    images, net = measured_images(), fitted(predictor())
    effects = route_all(net, images)
    assert all(0.1 < answers.double().mean() < 0.9 for answers in effects.answers[1])  # both classes
    assert (effects.answers[1, 1:] != effects.answers[1, 0]).any()
    calibration, labels = calibration_images(net, images.training)
    control = estimated(net, calibration)
    sample = control.model(net.normalized(images.training.images), True)[1]
    pixels, changes = net.normalized(images.evaluated.images), plain_changes(sample, images.training.labels)
    for row, policy in zip(effects.answers[1], POLICIES, strict=True):
        changed, x = estimated(net, calibration), control.model.stem(calibration)
        for number in (1, 2, 3):
            x, _ = changed.block(number, x, changes[policy](labels).get(number), estimate=number > 1)
        answers = changed.model(pixels, changes=changes[policy](images.evaluated.labels)).argmax(1)
        assert torch.equal(row, answers), policy


@pytest.mark.slow
def test_the_mean_never_comes_from_the_images_that_are_judged():
    """Each image alone is judged as it is among others, though its own weights would be the mean of the set then."""
    net, images = fitted(predictor()), measured_images(20)
    place = list(POLICIES).index("mean")
    together = route_all(net, images).answers[:, place]
    for index in (0, 7):
        alone = Images("validation", images.evaluated.take(torch.tensor([index])), images.training)
        assert torch.equal(route_all(net, alone).answers[:, place, 0], together[:, index])


def test_shuffled_images_keep_their_places_or_those_of_their_class():
    labels = torch.arange(300) % 3
    generator = torch.Generator().manual_seed(1)
    within, any_of = shuffled(labels, generator), shuffled(torch.zeros(300, dtype=torch.int64), generator)
    assert sorted(within.tolist()) == sorted(any_of.tolist()) == list(range(300))
    assert torch.equal(labels[within], labels) and not torch.equal(labels[any_of], labels)
    assert (within == torch.arange(300)).sum() < 20  # 3 in the mean
    assert not torch.equal(shuffled(labels, generator), within)


def test_other_images_weights_are_drawn_many_times_and_make_no_difference_where_all_are_equal():
    effects = route_all(fitted(predictor()), measured_images())
    assert effects.shuffled.shape == (len(SHUFFLED), SHUFFLES) and SHUFFLES == 20
    assert all(len(draws.unique()) > 1 for draws in effects.shuffled)
    constant = route_all(fitted(predictor(routing="uniform")), measured_images())
    learned = (constant.answers[:, 0] == constant.labels).float().mean(1)
    assert torch.equal(constant.shuffled, learned[1].expand(len(SHUFFLED), SHUFFLES))
    assert torch.equal(constant.shuffled_shipped, learned[0].expand(len(SHUFFLED)))
    for policy in ("uniform", "mean", "class"):
        assert torch.equal(constant.answers[:, list(POLICIES).index(policy)], constant.answers[:, 0])


def test_a_class_without_training_images_gets_the_mean():
    images = measured_images()
    only = Images("validation", images.evaluated, images.training.take(torch.arange(0, 30, 2)))  # all of class 0
    effects = route_all(fitted(predictor()), only)
    mean, by_class = (effects.answers[:, list(POLICIES).index(policy)] for policy in ("mean", "class"))
    assert torch.equal(mean, by_class)


def test_policies_change_only_blocks_with_experts():
    images, net = measured_images(), fitted(predictor(expert_blocks=(2,)))
    effects = route_all(net, images)
    first = net(images.evaluated.images, {2: top1})[0].argmax(1)
    assert torch.equal(effects.answers[0, list(POLICIES).index("first")], first)


@pytest.mark.parametrize("overrides", [{"num_experts": 1}, {"num_blocks": 1}])
def test_one_expert_or_one_block_can_be_measured(overrides):
    table = policy_table(route_all(fitted(predictor(**overrides)), measured_images()))
    assert len(table) == len(POLICIES) + len(SHUFFLED)


def test_the_table_of_policies_by_hand():
    labels = torch.zeros(100, dtype=torch.int64)
    answers = labels.expand(2, len(POLICIES), -1).clone()
    place = list(POLICIES).index("mean")
    answers[1, place, :7] = answers[0, place, :20] = 1
    draws = torch.linspace(0.5, 0.9, SHUFFLES).expand(len(SHUFFLED), -1)
    table = policy_table(Routings("test", labels, answers, draws, torch.tensor([0.6, 0.4]))).set_index("policy")
    assert list(table.index) == [*POLICIES, *SHUFFLED]
    mean = table.loc["mean"]
    assert (mean["change"], mean["as_shipped"], mean["accuracy"]) == pytest.approx((-0.07, -0.2, 0.93))
    assert (mean["low"], mean["high"]) == paired_interval(7, 0, 100)
    drawn = table.loc["shuffled within classes"]
    assert drawn[["change", "low", "high", "accuracy"]].tolist() == pytest.approx([-0.3, -0.5, -0.1, 0.7], abs=1e-6)
    assert drawn["as_shipped"] == pytest.approx(-0.6)
