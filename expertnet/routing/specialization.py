"""What the experts of a trained network have made their own, from the routing of its test set.

In this module: block_table (entropies, information against chance, the verdict in words), expert_table (utilization and
first places), specializations (only those that repeat), mistakes_table, components (two dimensions to draw), likeness_order,
match_experts; training_table and utilization_table over epochs. Frames are tidy: a row a block, or a block and an expert,
both counted from 1.
Shapes: N images, B blocks, K experts, C classes; routing weights are (N, B, K).
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import torch
from torch import Tensor

from expertnet.network.routing_metrics import class_means, usage

NOTABLE = 1.05  # times an expert's mean weight that a class must give it to be named as its own


def halves(labels_N: Tensor) -> tuple[Tensor, Tensor]:
    """The images in two halves, every second of each class in one of them."""
    place = torch.empty_like(labels_N)
    for label in labels_N.unique():
        members = (labels_N == label).nonzero()[:, 0]
        place[members] = torch.arange(len(members))
    return (place % 2 == 0).nonzero()[:, 0], (place % 2 == 1).nonzero()[:, 0]


def specializations(routing_NBK: Tensor, labels_N: Tensor, classes: Sequence[str]) -> pd.DataFrame:
    """A row a block and expert: the class that weighs it most on one half of the images, if the other half says the same.

    Columns block, expert, class ("" where it does not repeat), ratio (that class's mean weight over the expert's mean weight,
    on the half that the class was not chosen on).
    """
    first, second = halves(labels_N)
    means = [class_means(routing_NBK[half], labels_N[half], len(classes)).nan_to_num(0) for half in (first, second)]
    overall = usage(routing_NBK[second]).clamp_min(1e-12)
    rows = []
    for block in range(routing_NBK.shape[1]):
        for expert in range(routing_NBK.shape[2]):
            chosen, again = (int(mean[:, block, expert].argmax()) for mean in means)
            ratio = float(means[1][chosen, block, expert] / overall[block, expert])
            repeats = chosen == again and ratio > NOTABLE and len(classes) > 1
            rows.append((block + 1, expert + 1, classes[chosen] if repeats else "", ratio))
    return pd.DataFrame(rows, columns=["block", "expert", "class", "ratio"])
