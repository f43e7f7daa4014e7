"""How far the probabilities of a network can be trusted, and the temperature that corrects them."""

from dataclasses import dataclass
from functools import lru_cache
from math import exp

import pandas as pd
import torch
import torch.nn.functional as F
from scipy.optimize import minimize_scalar
from torch import Tensor

from expertnet.evaluation.figures import wilson
from expertnet.evaluation.outputs import Outputs
from expertnet.routing.robustness import BINS, confidence_bins

WIDEST = 5.0  # the natural logarithm of a temperature is at most that far from 0


@dataclass(frozen=True)
class Calibration:
    """Expected calibration error (a fraction) and negative log-likelihood (nats) of probabilities, and their bins."""

    ece: float
    nll: float
    bins: pd.DataFrame  # those of `reliability`


def calibration(logits_NC: Tensor, labels_N: Tensor, temperature: float = 1.0) -> Calibration:
    """Return the calibration of the softmax of logits divided by a temperature.

    The expected calibration error is the mean difference between confidence and accuracy in BINS equally wide bins, weighted
    with their images (Guo 2017, arXiv:1706.04599).
    """
    scaled_NC = logits_NC / temperature
    bins = reliability(scaled_NC.softmax(1), labels_N)
    gaps = (bins["confidence"] - bins["accuracy"]).abs()
    ece = float((gaps * bins["images"]).sum() / max(len(labels_N), 1))
    return Calibration(ece, F.cross_entropy(scaled_NC, labels_N).item(), bins)


def reliability(probabilities_NC: Tensor, labels_N: Tensor) -> pd.DataFrame:
    """Return a row per bin that has images: from, to, images, confidence (mean), accuracy, low, high (its 95% interval)."""
    confidence_N, predictions_N = probabilities_NC.max(1)
    right_N = (predictions_N == labels_N).double()
    bin_N = confidence_bins(confidence_N)
    rows = []
    for place in bin_N.unique().tolist():
        here = bin_N == place
        count, accuracy = int(here.sum()), right_N[here].mean().item()
        mean = confidence_N[here].double().mean().item()
        rows.append((place / BINS, (place + 1) / BINS, count, mean, accuracy, *wilson(accuracy, count)))
    return pd.DataFrame(rows, columns=["from", "to", "images", "confidence", "accuracy", "low", "high"])


@lru_cache(maxsize=16)
def fit_temperature(validation: Outputs) -> float | None:
    """Return the temperature that minimizes the negative log-likelihood of the validation images (Guo 2017).

    It changes no answer, only the probabilities. None if all answers are right, where the lower temperature is always the better
    one. Raises ValueError for the outputs of test images.
    """
    if validation.part != "validation":
        raise ValueError("a temperature is fitted on the validation images only")
    if torch.equal(validation.predictions, validation.labels):
        return None
    logits, labels = validation.logits, validation.labels

    def loss(log_temperature: float) -> float:
        return F.cross_entropy(logits / exp(log_temperature), labels).item()

    return exp(minimize_scalar(loss, bounds=(-WIDEST, WIDEST), method="bounded", options={"xatol": 1e-3}).x)


def coverage(outputs: Outputs) -> pd.DataFrame:
    """Return what remains if images below a threshold of confidence get no answer: threshold, answered, coverage, accuracy.

    There is a row for every confidence that occurs, the highest first. Accuracy is that of the answered images.
    """
    sorted_N, order = outputs.probabilities.amax(1).sort(descending=True, stable=True)
    right_N = (outputs.predictions == outputs.labels)[order].double().cumsum(0)
    number_N = torch.arange(1, len(order) + 1)
    last = torch.ones(len(order), dtype=torch.bool)
    last[:-1] = sorted_N[:-1] != sorted_N[1:]
    return pd.DataFrame(
        {
            "threshold": sorted_N[last].tolist(),
            "answered": number_N[last].tolist(),
            "coverage": (number_N / len(order))[last].tolist(),
            "accuracy": (right_N / number_N)[last].tolist(),
        }
    )
