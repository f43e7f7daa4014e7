"""Load the images that a run held out for validation, or a sample of those that it was trained on, without copying the others."""

import torch

from expertnet.data.datasets import load_decoded
from expertnet.data.info import DatasetInfo
from expertnet.data.splits import Split, held_out
from expertnet.settings.schema import DataSettings
from expertnet.utils.progress import Report, never, silent


def load_validation_split(
    data: DataSettings, seed: int, progress: Report = silent, own: DatasetInfo | None = None
) -> Split:
    """Return the images that load_dataset holds out. `own` and the errors are those of load_dataset."""
    _, decoded = load_decoded(data, progress, never, own)
    return decoded.train.take(decoded.divided(data.validation_share, seed)[1])


def load_training_sample(
    data: DataSettings, seed: int, count: int, progress: Report = silent, own: DatasetInfo | None = None
) -> Split:
    """Return about `count` of the images that load_dataset trains on, or all if they are fewer.

    Every class has its share of them. `own` and the errors are those of load_dataset.
    """
    _, decoded = load_decoded(data, progress, never, own)
    labels = decoded.train.labels
    train = decoded.divided(data.validation_share, seed)[0] if data.validation_share else torch.arange(len(labels))
    if len(train) > count:
        train = train[held_out(labels[train], count / len(train), 0)[1]]
    return decoded.train.take(train)
