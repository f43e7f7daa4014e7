"""Routing weights as tidy data frames. Blocks and experts are counted from 1."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from torch import Tensor

from expertnet.network.routing_metrics import class_means


def weights_table(routing_BK: Tensor) -> pd.DataFrame:
    """Return a row per block and expert from one image's weights (B, K): block, expert, weight."""
    return pd.DataFrame(
        [
            (block, expert, weight)
            for block, row in enumerate(routing_BK.tolist(), 1)
            for expert, weight in enumerate(row, 1)
        ],
        columns=["block", "expert", "weight"],
    )


def class_table(routing_NBK: Tensor, labels_N: Tensor, classes: Sequence[str]) -> pd.DataFrame:
    """Return a row per class, block and expert with the class's mean weight, without classes that have no images."""
    means = class_means(routing_NBK, labels_N, len(classes))
    tables = [
        weights_table(mean).assign(**{"class": name})
        for name, mean in zip(classes, means, strict=True)
        if not mean.isnan().any()
    ]
    table = (
        pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=["block", "expert", "weight", "class"])
    )
    return table[["class", "block", "expert", "weight"]]
