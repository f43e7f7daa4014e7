"""Certainty and damage under policies, against plain passes and results by hand."""

import pytest
import torch
from scipy.stats import binomtest, ttest_1samp

from expertnet.routing.corruptions import corrupted
from expertnet.routing.interventions import given
from expertnet.routing.passes import calibration_images, estimated
from expertnet.routing.robustness import (
    CONDITIONS,
    ROBUSTNESS,
    TRIED,
    Robustness,
    calibration_error,
    calibration_table,
    corruption_table,
    mean_interval,
    measure_robustness,
)
from tests.support.lab import fitted, measured_images, predictor, saved_run


@torch.no_grad()
def test_each_policy_and_condition_is_a_plain_pass():
    net, images = fitted(predictor()), measured_images()
    found = measure_robustness(net, images)
    calibration, _ = calibration_images(net, images.training)
    control = estimated(net, calibration)
    sample = control.model(net.normalized(images.training.images), True)[1].double().mean(0)
    changes = {
        "learned": {},
        "mean": {block: given(sample[block - 1]) for block in (1, 2, 3)},
        "uniform": {block: given([1 / 3] * 3) for block in (1, 2, 3)},
    }
    for place, policy in enumerate(TRIED):
        changed, x = estimated(net, calibration), control.model.stem(calibration)
        for number in (1, 2, 3):
            x, _ = changed.block(number, x, changes[policy].get(number), estimate=True)
        for row, condition in enumerate(CONDITIONS):
            pixels = images.evaluated.images
            pixels = pixels if condition == "no damage" else corrupted(condition, pixels)
            logits = changed.model(net.normalized(pixels), changes=changes[policy])
            assert torch.equal(found.answers[place, row], logits.argmax(1)), (policy, condition)
            assert torch.allclose(found.confidence[place, row], logits.softmax(1).amax(1), atol=1e-6)
            loss = torch.nn.functional.cross_entropy(logits, found.labels, reduction="none")
            assert torch.allclose(found.loss[place, row], loss, atol=1e-6)


def robustness(right, confidence=0.8, count=100):
    """As many right answers as `right` says for each policy (in all conditions), all as certain."""
    labels = torch.zeros(count, dtype=torch.int64)
    answers = torch.ones(len(TRIED), len(CONDITIONS), count, dtype=torch.int64)
    for place, number in enumerate(right):
        answers[place, :, :number] = 0
    sure = torch.full(answers.shape, confidence)
    return Robustness("test", labels, answers, sure, torch.where(answers == 0, 0.2, 1.6))


def test_calibration_by_hand():
    """80% certain and 70 of 100 right: a gap of 10 points, the only bin with a distance of 0.1, and (70 x 0.2 + 30 x 1.6) / 100."""
    own, mean, _ = calibration_table(robustness((70, 60, 70))).itertuples()
    assert (own.accuracy, own.confidence, own.gap, own.error) == pytest.approx((0.7, 0.8, 0.1, 0.1), abs=1e-6)
    assert own.loss == pytest.approx(0.62) and own.loss_change == 0
    assert mean.loss_change == pytest.approx(0.14)  # 10 images lose 1.4 nats each, over 100
    wilson = binomtest(70, 100).proportion_ci(method="wilson")
    assert (own.low, own.high) == pytest.approx((0.8 - wilson.high, 0.8 - wilson.low), abs=1e-5)


def test_a_calibrated_network_that_makes_hardly_a_mistake_is_seldom_called_underconfident():
    """99.5% sure and as often right: none of 143 answers is wrong in half of the draws, which no t interval can tell from 100%."""
    claims, draws = 0, 400
    generator = torch.Generator().manual_seed(0)
    for _ in range(draws):
        right = int((torch.rand(143, generator=generator) < 0.995).sum())
        own = next(calibration_table(robustness((right, right, right), 0.995, 143)).itertuples())
        claims += own.low > 0 or own.high < 0
    assert claims <= 0.08 * draws


def test_the_calibration_error_adds_the_distances_of_the_bins():
    """Two of four images at 0.95, one right: 0.45 each; two at 0.5, both right: 0.5 each."""
    confidence, right = torch.tensor([0.95, 0.95, 0.5, 0.5]).double(), torch.tensor([1, 0, 1, 1.0]).double()
    assert calibration_error(confidence, right) == pytest.approx((0.45 + 0.5) / 2)
    assert calibration_error(torch.ones(3).double(), torch.ones(3).double()) == 0


def test_the_interval_of_a_mean_is_students():
    values = torch.tensor([0.1, 0.4, 0.2, 0.9]).double()
    interval = ttest_1samp(values.numpy(), 0).confidence_interval()
    assert mean_interval(values) == pytest.approx((0.4, interval.low, interval.high))
    assert mean_interval(values[:1]) == (pytest.approx(0.1), -float("inf"), float("inf"))


def test_damage_by_hand():
    """10 of 100 images are lost with mean weights, in every condition alike: all ten signs agree in 2 of 2^10 flips."""
    table = corruption_table(robustness((70, 60, 70)))
    assert table["corruption"].tolist() == list(CONDITIONS)
    assert table["learned"].tolist() == pytest.approx([0.7] * len(CONDITIONS))
    assert table["change"].tolist() == pytest.approx([-0.1] * len(CONDITIONS))
    assert (table["p"] < 0.01).all() and (table["low"] < -0.1).all() and (table["high"] < 0).all()
    assert (corruption_table(robustness((70, 60, 70)), "uniform")["change"] == 0).all()


def test_the_result_is_kept_with_the_run(tmp_path):
    run = saved_run(tmp_path / "runs")
    found, kept = ROBUSTNESS.measure(run, measured_images()), ROBUSTNESS.cached(run, "validation")
    assert torch.equal(found.answers, kept.answers) and torch.equal(found.loss, kept.loss)
