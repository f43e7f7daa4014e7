"""Routing weights of images, classes and experts as tidy data frames. Blocks and experts are counted from 1."""

from collections.abc import Sequence

import pandas as pd
import torch
from torch import Tensor

from expertnet.network.routing_metrics import usage

HARDLY_USED = 0.1  # utilization below which an expert may be dead, and specializes in nothing


def weights_table(routing_BK: Tensor, blocks: Sequence[int] = ()) -> pd.DataFrame:
    """Return a row per block and expert from one image's weights (B, K): block, expert, weight; of `blocks` alone if given."""
    table = [(block, row) for block, row in enumerate(routing_BK.tolist(), 1) if not blocks or block in blocks]
    rows = [(block, expert, weight) for block, row in table for expert, weight in enumerate(row, 1)]
    return pd.DataFrame(rows, columns=["block", "expert", "weight"])


def class_table(routing_NBK: Tensor, labels_N: Tensor, classes: Sequence[str]) -> pd.DataFrame:
    """Return a row per class with images, block and expert: class, block, expert, weight, error.

    `weight` is the class's mean weight and `error` its standard error, NaN for a class with one image.
    """
    tables = []
    for label in labels_N.unique().tolist():
        own_NBK = routing_NBK[labels_N == label].double()
        error_BK = own_NBK.std(0) / len(own_NBK) ** 0.5 if len(own_NBK) > 1 else own_NBK[0] * torch.nan
        table = weights_table(own_NBK.mean(0)).assign(error=error_BK.flatten().tolist())
        table.insert(0, "class", classes[label])
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def expert_table(routing_NBK: Tensor) -> pd.DataFrame:
    """Return a row per block and expert (from 1): block, expert, weight, utilization, first.

    `weight` is the mean weight, `utilization` K times that, so that 1 is a fair share, and `first` the share of images in which
    the expert has the largest weight. Experts that have it together share the image.
    """
    weight, experts = usage(routing_NBK), routing_NBK.shape[2]
    largest_NBK = (routing_NBK == routing_NBK.amax(2, keepdim=True)).double()
    first = (largest_NBK / largest_NBK.sum(2, keepdim=True)).mean(0)
    utilization = (experts * weight).flatten().tolist()
    return weights_table(weight).assign(utilization=utilization, first=first.flatten().tolist())


def extremes(routing_NBK: Tensor, block: int, expert: int, count: int) -> tuple[list[int], list[int]]:
    """Return the `count` images (from 0) that give an expert the most and the least weight, most extreme first.

    Blocks and experts are counted from 1.
    """
    order = routing_NBK[:, block - 1, expert - 1].argsort(stable=True).tolist()
    return order[::-1][:count], order[:count]
