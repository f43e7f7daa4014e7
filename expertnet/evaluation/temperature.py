"""The temperature that makes the probabilities of a network as high as its answers are often right."""

from math import exp, log

import torch
import torch.nn.functional as F
from scipy.optimize import minimize_scalar
from torch import Tensor

WIDEST = 5.0  # the natural logarithm of a temperature is at most that far from 0
FEWEST = 50  # images; an accuracy of 50% is then uncertain by 14 points (95%), and by more with fewer


def fit_temperature(logits_NC: Tensor, labels_N: Tensor) -> float | None:
    """Return the temperature that minimizes the negative log-likelihood of validation images (Guo 2017, arXiv:1706.04599).

    It changes no answer, only the probabilities. None for fewer than FEWEST images, and if all answers are right, where the lower
    temperature is always the better one.
    """
    if len(labels_N) < FEWEST or torch.equal(logits_NC.argmax(1), labels_N):
        return None

    def loss(log_temperature: float) -> float:
        return F.cross_entropy(logits_NC / exp(log_temperature), labels_N).item()

    return exp(minimize_scalar(loss, bounds=(-WIDEST, WIDEST), method="bounded", options={"xatol": 1e-3}).x)


def is_temperature(value: float) -> bool:
    """Return whether a number can come from `fit_temperature`."""
    return value > 0 and abs(log(value)) <= WIDEST
