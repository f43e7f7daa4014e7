"""How much each expert is used."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from expertnet.network.routing_metrics import usage


def expert_table(routing_NBK: Tensor) -> pd.DataFrame:
    """A row a block and expert: weight (mean), utilization (K times that: 1 is a fair share), first (share of images)."""
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
    """The images that weigh an expert (from 1) most, and least; the most extreme one first."""
    order = routing_NBK[:, block - 1, expert - 1].argsort(stable=True).tolist()
    return order[::-1][:count], order[:count]
