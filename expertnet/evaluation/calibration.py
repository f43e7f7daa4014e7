"""How far the probabilities of a network can be trusted."""

from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor

from expertnet.evaluation.outputs import Outputs
from expertnet.routing.paired import wilson
from expertnet.routing.robustness import BINS, calibration_error, confidence_bins


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
    best_N, answers_N = scaled_NC.max(1)
    log_sums_N = scaled_NC.logsumexp(1)  # probabilities of all classes would take as much memory as the logits
    confidence_N, right_N = (best_N - log_sums_N).exp(), answers_N == labels_N
    nll = (log_sums_N - scaled_NC.gather(1, labels_N[:, None])[:, 0]).mean().item()
    return Calibration(calibration_error(confidence_N, right_N), nll, reliability(confidence_N, right_N))


def reliability(confidence_N: Tensor, right_N: Tensor) -> pd.DataFrame:
    """Return a row per bin that has images: from, to, images, confidence (mean), accuracy, low, high (its 95% interval)."""
    bin_N = confidence_bins(confidence_N)
    rows = []
    for place in bin_N.unique().tolist():
        here = bin_N == place
        count, accuracy = int(here.sum()), right_N[here].double().mean().item()
        mean = confidence_N[here].double().mean().item()
        rows.append((place / BINS, (place + 1) / BINS, count, mean, accuracy, *wilson(accuracy, count)))
    return pd.DataFrame(rows, columns=["from", "to", "images", "confidence", "accuracy", "low", "high"])


def coverage(outputs: Outputs) -> pd.DataFrame:
    """Return what remains if images below a threshold of confidence get no answer: threshold, answered, coverage, accuracy.

    There is a row for every confidence that occurs, the highest first. Accuracy is that of the answered images.
    """
    sorted_N, order = outputs.confidence.sort(descending=True, stable=True)
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
