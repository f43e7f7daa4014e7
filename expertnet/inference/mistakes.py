"""What a network gets wrong in its test or validation images."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from expertnet.data.parts import load_validation_split
from expertnet.inference.predictor import BATCH, load_predictor
from expertnet.inference.routing_cache import in_batches, load_own_test_set, route_test_set
from expertnet.store.checkpoints import Checkpoint
from expertnet.store.run import Run
from expertnet.utils.progress import Report, ShouldStop, never, raise_if_cancelled, silent

KEPT = 24  # images of mistakes

Part = Literal["test", "validation"]


@dataclass(frozen=True, eq=False)
class Mistake:
    """A misclassified image."""

    image: Tensor  # (3, S, S) uint8
    place: int  # in its set, from 0
    label: int  # its class
    answer: int
    probability: float  # of the answer


@dataclass(frozen=True, eq=False)
class Mistakes:
    """The answers of a network for the N images of a set, and the mistakes with the most certain answers, these first."""

    labels: Tensor  # (N,) int64
    predictions: Tensor  # (N,) int64
    worst: tuple[Mistake, ...]  # at most KEPT


def find_mistakes(
    run: Run,
    part: Part,
    checkpoint: Checkpoint = "best",
    progress: Report = silent,
    threads: int | None = None,
    cancelled: ShouldStop = never,
) -> Mistakes:
    """Classify the test or validation images that a run was trained with.

    The answers for the test set come from its cached routing, which is computed if it is not there. Raises DatasetError if the
    images are gone, RunError if there is no usable checkpoint, and Cancelled.
    """
    predictor = load_predictor(run, checkpoint, threads)
    if part == "test":
        split = load_own_test_set(run, progress)
        predictions = route_test_set(run, split, checkpoint, progress, threads, cancelled).predictions
    else:
        settings, batches = run.settings(), list[Tensor]()
        split = load_validation_split(settings.data, settings.seed, progress, run.dataset_info())
        for here, share in in_batches(split, cancelled):
            progress("Classifying the validation images", share)
            batches.append(predictor(split.images[here])[0].argmax(1))
        predictions = torch.cat(batches)
    wrong, certain = (predictions != split.labels).nonzero()[:, 0], list[Tensor]()
    for some in wrong.split(BATCH):
        raise_if_cancelled(cancelled)
        certain.append(predictor(split.images[some])[0].gather(1, predictions[some, None])[:, 0])
    probabilities = torch.cat(certain) if certain else torch.zeros(0)
    order = probabilities.argsort(descending=True, stable=True)[:KEPT]
    worst = (
        Mistake(split.images[place].clone(), place, int(split.labels[place]), int(predictions[place]), probability)
        for place, probability in zip(wrong[order].tolist(), probabilities[order].tolist(), strict=True)
    )
    return Mistakes(split.labels.clone(), predictions, tuple(worst))
