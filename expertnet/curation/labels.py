"""Find images whose label is probably wrong: networks that were not trained on them are sure of another class.

This is confident learning (Northcutt 2021, arXiv:1911.00068), which the package cleanlab made known.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from expertnet.curation.duplicates import Group
from expertnet.curation.split import divide, group_of_each
from expertnet.curation.survey import Survey
from expertnet.data.datasets import Dataset, load_decoded
from expertnet.data.info import DatasetInfo
from expertnet.data.splits import Split
from expertnet.errors import DatasetError
from expertnet.network.evaluation import Evaluator, batches
from expertnet.settings.fields import build_settings
from expertnet.settings.schema import DataSettings
from expertnet.training.trainer import Trainer
from expertnet.utils.progress import Report, ShouldStop, never, raise_if_cancelled, silent

FOLDS, SEED = 3, 0
EPOCHS, STEPS = 4, 400  # that a network trains at least
BATCH = 64  # images per step, fewer if there are few
MOST_BYTES = 2**31  # of all decoded images, which are copied


@dataclass(frozen=True)
class Suspect:
    """An image whose label is probably wrong."""

    row: int  # of Survey.images
    label: int
    suggested: int  # the class that the networks are surest of
    probability: float  # of the suggested class
    label_probability: float


@dataclass(frozen=True)
class Doubts:
    """The suspected labels, the least likely first, and how far to trust them."""

    suspects: tuple[Suspect, ...]
    accuracy: float  # share of the images whose label is the answer of the networks that were not trained on them


def find_doubts(
    data: DataSettings,
    found: Survey,
    groups: Sequence[Group] = (),
    progress: Report = silent,
    cancelled: ShouldStop = never,
    threads: int | None = None,
) -> Doubts:
    """Train FOLDS small networks, each without a part of the images, and let each judge the labels of that part.

    Images of a group of duplicates are in the same part. Raises DatasetError, TrainingError or Cancelled.
    """
    info, decoded = load_decoded(data, progress, cancelled, None)
    if decoded.train.images.numel() + decoded.test.images.numel() > MOST_BYTES:
        raise DatasetError("These are too many images to look for wrong labels in memory. Choose a smaller image size.")
    both = (decoded.train, decoded.test)
    everything = Split(torch.cat([part.images for part in both]), torch.cat([part.labels for part in both]))
    labels = found.images["label"].to_numpy()
    if not np.array_equal(labels, everything.labels.numpy()):
        raise DatasetError("The images have changed in the meantime. Check them again.")
    folds = torch.from_numpy(divide(labels, group_of_each(len(labels), groups), [1 / FOLDS] * FOLDS, SEED))
    probabilities = torch.zeros(len(labels), len(info.classes))
    for fold in range(FOLDS):
        held = (folds == fold).nonzero().flatten()
        if not len(held):  # there are fewer images of each class than folds
            continue
        if len(held) == len(labels):
            raise DatasetError(
                "All images look the same, so no network can judge some without having seen them. Add others."
            )

        def report(activity: str, share: float | None, fold: int = fold) -> None:
            progress("Training networks to judge the labels", (fold + (share or 0.0)) / FOLDS)

        rest = everything.take((folds != fold).nonzero().flatten())
        probabilities[held] = _judged(data, info, rest, everything.take(held), report, cancelled, threads)
    suspects = confident_errors(probabilities.numpy(), labels)
    accuracy = (probabilities.argmax(1) == everything.labels).float().mean().item()
    return Doubts(tuple(suspects), accuracy)


def _judged(
    data: DataSettings,
    info: DatasetInfo,
    train: Split,
    held: Split,
    progress: Report,
    cancelled: ShouldStop,
    threads: int | None,
) -> torch.Tensor:
    """Return the probabilities (N, C) of held-out images by a network that is trained on others."""
    size = max(min(BATCH, len(train) // 4), 2)
    epochs = max(EPOCHS, math.ceil(STEPS / max(len(train) // size, 1)))
    own = {"training.epochs": epochs, "training.batch_size": size, "data.validation_share": 0.0, "seed": SEED}
    settings = build_settings("quick", data.dataset, own | {"data.image_size": data.image_size})
    one = held.take(torch.arange(1))  # the trainer measures something after every epoch
    trainer = Trainer(settings, Dataset(info, train, one, one), threads=threads)
    for step in trainer.run():
        raise_if_cancelled(cancelled)
        progress("", (step.epoch - 1 + step.step / step.steps) / epochs)
    evaluator = Evaluator(trainer.evaluated.eval(), trainer.mean, trainer.std)
    for batch in batches(held):
        raise_if_cancelled(cancelled)
        evaluator.add(batch)
    return evaluator.logits.on_cpu().softmax(1)


def confident_errors(probabilities_NC: np.ndarray, labels_N: np.ndarray) -> list[Suspect]:
    """Return the images that confident learning counts for another class than their label, the least likely labels first.

    An image counts for the likeliest class of those whose probability reaches the threshold of the class: its mean probability
    for the images with that label. It is no error if the label itself is likelier.
    """
    rows = np.arange(len(labels_N))
    own = probabilities_NC[rows, labels_N]
    counts = np.bincount(labels_N, minlength=probabilities_NC.shape[1])
    thresholds_C = np.bincount(labels_N, own, len(counts)) / np.maximum(counts, 1)
    reached = np.where((probabilities_NC >= thresholds_C) & (counts > 0), probabilities_NC, -1.0)
    suggested, best = reached.argmax(1), reached.max(1)
    wrong = rows[(suggested != labels_N) & (best > own)]
    order = wrong[np.argsort(own[wrong] - best[wrong], kind="stable")]
    return [
        Suspect(int(row), int(labels_N[row]), int(suggested[row]), float(best[row]), float(own[row])) for row in order
    ]
