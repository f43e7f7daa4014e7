"""Images with labels, and how a share of them is held out."""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from expertnet.settings.schema import DataSettings

TEST_SHARE = 0.2  # of a dataset without a test set
TEST_SEED = 0  # fixed, so that the test set is the same for every seed of a run


@dataclass(frozen=True)
class Split:
    """Images and their labels."""

    images: Tensor  # (N, 3, S, S) uint8
    labels: Tensor  # (N,) int64, the index of the class

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: Tensor) -> Self:
        # index_select is three times as fast as images[indices].
        return type(self)(self.images.index_select(0, indices), self.labels[indices])


def held_out(labels: Tensor, share: float, seed: int) -> tuple[Tensor, Tensor]:
    """Split off a stratified share. Returns the indices that remain and those held out, both ascending.

    Each class with two or more images has at least one on either side. A single image remains.
    """
    generator = torch.Generator().manual_seed(seed)
    is_held_out = torch.zeros(len(labels), dtype=torch.bool)
    for label in labels.unique().tolist():
        members = (labels == label).nonzero().flatten()
        count = min(max(round(len(members) * share), 1), len(members) - 1)
        is_held_out[members[torch.randperm(len(members), generator=generator)[:count]]] = True
    return (~is_held_out).nonzero().flatten(), is_held_out.nonzero().flatten()


def class_weights(labels: Tensor, classes: int) -> Tensor:
    """Return a weight per class (C,) in inverse proportion to its number of images. The weights of all images have the mean 1."""
    return len(labels) / (classes * labels.bincount(minlength=classes).clamp(min=1))


def epoch_order(labels: Tensor, data: DataSettings, generator: torch.Generator) -> Tensor:
    """Return the indices (N,) of an epoch's images, on the CPU: each image once, or each class equally often."""
    if data.class_balance != "sampling":
        return torch.randperm(len(labels), generator=generator)
    weights = class_weights(labels, int(labels.max()) + 1)[labels]
    return torch.multinomial(weights, len(labels), replacement=True, generator=generator)
