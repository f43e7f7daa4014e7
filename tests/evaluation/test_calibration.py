"""Calibration against scikit-learn's log loss and answers on paper; the temperature against the one that made the labels."""

from math import log

import pytest
import torch
from sklearn.metrics import log_loss

from expertnet.evaluation.calibration import calibration, coverage, fit_temperature, reliability
from expertnet.evaluation.outputs import Outputs
from expertnet.routing.robustness import BINS

SEED = 3


def outputs(shares, labels, part="validation"):
    shares = torch.tensor(shares)
    return Outputs(part, torch.tensor(labels), shares.log(), torch.ones(len(labels), 1, 1), "x")


def test_the_calibration_error_is_the_one_on_paper():
    # Two images at 0.9, one of them right: accuracy 0.5. Two at 0.6, both right: accuracy 1.
    shares = [[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.4, 0.6]]
    given = outputs(shares, [0, 1, 0, 1])
    found = calibration(given.logits, given.labels)
    assert found.ece == pytest.approx((2 * 0.4 + 2 * 0.4) / 4)
    assert found.nll == pytest.approx(-(log(0.9) + log(0.1) + 2 * log(0.6)) / 4)
    assert found.nll == pytest.approx(log_loss([0, 1, 0, 1], given.probabilities.numpy()), abs=1e-6)
    assert found.bins["images"].tolist() == [2, 2] and found.bins["accuracy"].tolist() == [1, 0.5]


def test_every_confidence_belongs_to_one_bin():
    confidence = torch.linspace(0.5, 1, 200)
    table = reliability(torch.stack([confidence, 1 - confidence], 1), torch.zeros(200, dtype=torch.int64))
    assert table["images"].sum() == 200
    assert ((table["from"] - 1e-6 <= table["confidence"]) & (table["confidence"] <= table["to"] + 1e-6)).all()
    assert (table["to"] - table["from"]).tolist() == pytest.approx([1 / BINS] * len(table))


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_that_made_the_labels_is_found(temperature):
    print("seed", SEED)
    generator = torch.Generator().manual_seed(SEED)
    true_logits = 2 * torch.randn(20_000, 5, generator=generator)
    labels = true_logits.softmax(1).multinomial(1, generator=generator)[:, 0]
    given = Outputs("validation", labels, true_logits * temperature, torch.ones(20_000, 1, 1), "x")
    assert fit_temperature(given) == pytest.approx(temperature, rel=0.03)
    after = calibration(given.logits, labels, fit_temperature(given))
    assert after.nll <= calibration(given.logits, labels).nll and after.ece < 0.02


def test_no_temperature_is_fitted_on_test_images_or_without_a_mistake():
    assert fit_temperature(outputs([[0.9, 0.1], [0.2, 0.8]], [0, 1])) is None
    with pytest.raises(ValueError, match="validation images only"):
        fit_temperature(outputs([[0.9, 0.1]], [0], part="test"))


def test_coverage_and_accuracy_at_every_threshold_are_those_on_paper():
    shares = [[0.9, 0.1], [0.2, 0.8], [0.2, 0.8], [0.6, 0.4]]
    table = coverage(outputs(shares, [0, 0, 1, 1]))
    assert table["threshold"].tolist() == pytest.approx([0.9, 0.8, 0.6])
    assert table["answered"].tolist() == [1, 3, 4]
    assert table["coverage"].tolist() == [0.25, 0.75, 1]
    assert table["accuracy"].tolist() == pytest.approx([1, 2 / 3, 0.5])
