"""Calibration against scikit-learn's curve and log loss, and answers on paper; the temperature against the one that made the labels."""

from math import log

import numpy as np
import pytest
import torch
from sklearn.calibration import calibration_curve
from sklearn.metrics import log_loss

from expertnet.evaluation.calibration import calibration, coverage, reliability
from expertnet.evaluation.outputs import Outputs
from expertnet.evaluation.temperature import fit_temperature
from expertnet.routing.robustness import BINS

SEED = 3


def outputs(shares, labels):
    shares = torch.tensor(shares)
    return Outputs("validation", torch.tensor(labels), shares.log(), torch.ones(len(labels), 1, 1), "x")


def test_the_calibration_error_is_the_one_on_paper():
    # Two images at 0.9, one of them right: accuracy 0.5. Two at 0.6, both right: accuracy 1.
    shares = [[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.4, 0.6]]
    given = outputs(shares, [0, 1, 0, 1])
    found = calibration(given.logits, given.labels)
    assert found.ece == pytest.approx((2 * 0.4 + 2 * 0.4) / 4)
    assert found.nll == pytest.approx(-(log(0.9) + log(0.1) + 2 * log(0.6)) / 4)
    assert found.nll == pytest.approx(log_loss([0, 1, 0, 1], given.logits.softmax(1).numpy()), abs=1e-6)
    assert found.bins["images"].tolist() == [2, 2] and found.bins["accuracy"].tolist() == [1, 0.5]


def test_every_confidence_belongs_to_one_bin():
    confidence = torch.linspace(0.5, 1, 200)
    table = reliability(confidence, torch.ones(200, dtype=torch.bool))
    assert table["images"].sum() == 200
    assert ((table["from"] - 1e-6 <= table["confidence"]) & (table["confidence"] <= table["to"] + 1e-6)).all()
    assert (table["to"] - table["from"]).tolist() == pytest.approx([1 / BINS] * len(table))


@pytest.mark.parametrize(("images", "classes", "strength"), [(30, 2, 1), (500, 10, 3), (4000, 100, 6)])
def test_the_calibration_is_that_of_scikit_learn(images, classes, strength):
    print("seed", SEED)
    generator = torch.Generator().manual_seed(SEED)
    labels = torch.randint(classes, (images,), generator=generator)
    logits = torch.randn(images, classes, generator=generator)
    logits[torch.arange(images), labels] += strength * torch.rand(images, generator=generator)
    for temperature in (1.0, 0.4):
        found, shares = calibration(logits, labels, temperature), (logits.double() / temperature).softmax(1)
        confidence, right = shares.amax(1).numpy(), (shares.argmax(1) == labels).numpy()
        accuracy, mean = calibration_curve(right, confidence, n_bins=BINS)
        count = np.histogram(confidence, np.linspace(0, 1, BINS + 1))[0]
        assert found.bins["accuracy"].to_numpy() == pytest.approx(accuracy)
        assert found.bins["confidence"].to_numpy() == pytest.approx(mean, abs=1e-6)
        assert found.bins["images"].tolist() == count[count > 0].tolist()
        expected = (np.abs(accuracy - mean) * count[count > 0]).sum() / images
        assert found.ece == pytest.approx(expected, abs=1e-6)
        assert found.nll == pytest.approx(log_loss(labels, shares.numpy(), labels=range(classes)), abs=1e-5)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_that_made_the_labels_is_found(temperature):
    print("seed", SEED)
    generator = torch.Generator().manual_seed(SEED)
    true_logits = 2 * torch.randn(20_000, 5, generator=generator)
    labels = true_logits.softmax(1).multinomial(1, generator=generator)[:, 0]
    logits = true_logits * temperature
    found = fit_temperature(logits, labels)
    assert found == pytest.approx(temperature, rel=0.03)
    after = calibration(logits, labels, found)
    assert after.nll <= calibration(logits, labels).nll and after.ece < 0.02


def test_no_temperature_is_fitted_without_a_mistake_or_on_few_images():
    given = outputs([[0.9, 0.1], [0.2, 0.8]] * 25, [0, 1] * 25)
    assert fit_temperature(given.logits, given.labels) is None
    wrong = 1 - given.labels[:1]
    assert fit_temperature(given.logits, torch.cat([wrong, given.labels[1:]])) is not None
    assert fit_temperature(given.logits[:-1], torch.cat([wrong, given.labels[1:-1]])) is None


def test_coverage_and_accuracy_at_every_threshold_are_those_on_paper():
    shares = [[0.9, 0.1], [0.2, 0.8], [0.2, 0.8], [0.6, 0.4]]
    table = coverage(outputs(shares, [0, 0, 1, 1]))
    assert table["threshold"].tolist() == pytest.approx([0.9, 0.8, 0.6])
    assert table["answered"].tolist() == [1, 3, 4]
    assert table["coverage"].tolist() == [0.25, 0.75, 1]
    assert table["accuracy"].tolist() == pytest.approx([1, 2 / 3, 0.5])
