"""Images with their labels, and how a share of them is set aside.

In this module: Split, held_out.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Split:
    """Images and the numbers of their classes."""

    images: Tensor  # (N, 3, S, S) uint8
    labels: Tensor  # (N,) int64

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: Tensor) -> Split:
        return Split(
            self.images.index_select(0, indices), self.labels[indices]
        )  # three times as fast as images[indices]


def held_out(labels: Tensor, share: float, seed: int) -> tuple[Tensor, Tensor]:
    """Indices to keep and indices to set aside: the share of every class, drawn by the seed, both in their old order.

    A class of two or more gives at least one and keeps at least one; a class of one keeps it.
    """
    generator = torch.Generator().manual_seed(seed)
    aside = torch.zeros(len(labels), dtype=torch.bool)
    for label in labels.unique().tolist():
        members = (labels == label).nonzero().flatten()
        count = min(max(round(len(members) * share), 1), len(members) - 1)
        aside[members[torch.randperm(len(members), generator=generator)[:count]]] = True
    return (~aside).nonzero().flatten(), aside.nonzero().flatten()
