"""Accuracy, top-5 accuracy and macro F1 with their intervals, and the figures of every class."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import pandas as pd
import torch
from torch import Tensor

from expertnet.evaluation.outputs import Outputs
from expertnet.routing.paired import wilson

TOP = 5


@dataclass(frozen=True)
class Figure:
    """A share with its 95% interval, as fractions."""

    value: float
    low: float
    high: float


@lru_cache(maxsize=16)
def figures(outputs: Outputs) -> dict[str, Figure]:
    """Return accuracy, top-5 accuracy (not with 5 classes or fewer, where it is always 1) and macro F1, by name."""
    labels, right = outputs.labels, outputs.predictions == outputs.labels
    found = {"accuracy": share(right)}
    if outputs.logits.shape[1] > TOP:
        found["top-5 accuracy"] = share((outputs.logits.topk(TOP).indices == labels[:, None]).any(1))
    return found | {"macro F1": macro_f1(labels, outputs.predictions, outputs.logits.shape[1])}


def share(holds_N: Tensor) -> Figure:
    """Return the share of images for which something holds, with its Wilson interval."""
    value = holds_N.double().mean().item()
    return Figure(value, *wilson(value, len(holds_N)))


def macro_f1(labels_N: Tensor, predictions_N: Tensor, classes: int) -> Figure:
    """Return the mean F1 of the classes that occur as a label or as an answer.

    Its variance comes from what each image contributes (the delta method; Takahashi 2022, doi:10.1007/s10489-021-02635-5). The
    interval is Wilson's for the number of images that gives a share the same variance, so that it is never empty.
    """
    parts_N = f1_parts(labels_N, predictions_N, classes)
    value = float(_f1(*_counts(labels_N, predictions_N, classes)).nanmean())
    variance = parts_N.square().mean().item() / len(labels_N)
    spread = value * (1 - value)
    return Figure(value, *wilson(value, spread / variance if variance * spread > 0 else len(labels_N)))


def f1_parts(labels_N: Tensor, predictions_N: Tensor, classes: int) -> Tensor:
    """Return the influence of each image on macro F1: (N,), with mean 0. Macro F1 has the variance of their mean."""
    hits, support, answered = _counts(labels_N, predictions_N, classes)
    f1, weight = _f1(hits, support, answered).nan_to_num(0), len(labels_N) / (support + answered).clamp_min(1)
    present = ((support + answered) > 0).sum()
    right = (labels_N == predictions_N).double()
    lost = (f1 * weight)[labels_N] + (f1 * weight)[predictions_N]
    return (2 * right * weight[labels_N] - lost) / present


def class_table(outputs: Outputs, classes: Sequence[str]) -> pd.DataFrame:
    """Return a row per class: class, images (support), precision, recall, f1, low, high (of recall), and most_often, the wrong
    answer given most often to its images, "" if none is.

    Precision is NaN for a class that is never an answer, and recall for one without images.
    """
    number = len(classes)
    hits, support, answered = _counts(outputs.labels, outputs.predictions, number)
    recall = hits / support
    shares = zip(recall.tolist(), support.tolist(), strict=True)
    intervals = [wilson(value, count) if count else (None, None) for value, count in shares]
    wrong = outputs.labels != outputs.predictions
    pairs, times = (outputs.labels * number + outputs.predictions)[wrong].unique(return_counts=True)
    most_often = [""] * number
    for place in times.argsort(stable=True).tolist():  # the most frequent last
        true, answer = divmod(int(pairs[place]), number)
        most_often[true] = classes[answer]
    return pd.DataFrame(
        {
            "class": list(classes),
            "images": support.long().tolist(),
            "precision": (hits / answered).tolist(),
            "recall": recall.tolist(),
            "low": [low for low, _ in intervals],
            "high": [high for _, high in intervals],
            "f1": _f1(hits, support, answered).tolist(),
            "most_often": most_often,
        }
    )


def _counts(labels_N: Tensor, predictions_N: Tensor, classes: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the number of right answers, of images and of answers of each class (C,)."""
    right = labels_N[labels_N == predictions_N]
    hits, support, answered = (
        torch.bincount(of, minlength=classes).double() for of in (right, labels_N, predictions_N)
    )
    return hits, support, answered


def _f1(hits: Tensor, support: Tensor, answered: Tensor) -> Tensor:
    """Return the F1 of each class (C,), NaN for one that is neither a label nor an answer."""
    return 2 * hits / (support + answered)
