"""How much each expert is used, and by which images."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from expertnet.network.routing_metrics import usage


def expert_table(routing_NBK: Tensor) -> pd.DataFrame:
    """Return a row per block and expert (from 1): block, expert, weight, utilization, first.

    `weight` is the mean weight, `utilization` K times that, so that 1 is a fair share, and `first` the share of images in which
    the expert has the largest weight.
    """
    _, blocks, experts = routing_NBK.shape
    weight = usage(routing_NBK)
    first = torch.nn.functional.one_hot(routing_NBK.argmax(2), experts).double().mean(0)
    return pd.DataFrame(
        {
            "block": np.repeat(range(1, blocks + 1), experts),
            "expert": np.tile(range(1, experts + 1), blocks),
            "weight": weight.flatten().tolist(),
            "utilization": (experts * weight).flatten().tolist(),
            "first": first.flatten().tolist(),
        }
    )


def extremes(routing_NBK: Tensor, block: int, expert: int, count: int) -> tuple[list[int], list[int]]:
    """Return the `count` images (from 0) that give an expert the most and the least weight, most extreme first.

    Blocks and experts are counted from 1.
    """
    order = routing_NBK[:, block - 1, expert - 1].argsort(stable=True).tolist()
    return order[::-1][:count], order[:count]
