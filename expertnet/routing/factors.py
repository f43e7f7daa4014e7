"""What the routing follows, where it is known what the images show."""

from collections.abc import Sequence
from functools import cache

import pandas as pd
import torch
from torch import Tensor

from expertnet.data import planted
from expertnet.network.routing_metrics import class_means

CONSTANT = 1e-6  # variance of weights that comes from rounding


@cache
def known_factors(dataset: str, images: int) -> pd.DataFrame | None:
    """Return what each test image shows, as categories by factor; None if that is not known of this many images."""
    if dataset not in planted.CLASSES or images != planted.PARTS["test"]:
        return None
    table = planted.factors("test").select_dtypes("category")
    return table if dataset == "contexts" else table.drop(columns="meaning")


def explained(routing_NBK: Tensor, factors: pd.DataFrame, blocks: Sequence[int]) -> pd.DataFrame:
    """Return a row per block, with its number in `blocks`, and factor: block, factor, share, deviation.

    `share` is the part of the variance of the block's weights that lies between the images with different values, over all
    experts (the correlation ratio; Fisher, Statistical Methods for Research Workers, 1925). `deviation` is the root of that part.
    """
    total_B = routing_NBK.double().var(0, correction=0).sum(1)
    rows: list[tuple[object, ...]] = []
    for factor, column in factors.items():
        codes_N = codes(column)
        means_VBK = class_means(routing_NBK, codes_N, len(column.cat.categories))
        between_B = means_VBK[codes_N].var(0, correction=0).sum(1)
        share_B = (between_B / total_B).where(total_B > CONSTANT, 0)
        rows += zip(blocks, [factor] * len(blocks), share_B.tolist(), between_B.sqrt().tolist(), strict=True)
    table = pd.DataFrame(rows, columns=["block", "factor", "share", "deviation"])
    return table.sort_values("block", kind="stable", ignore_index=True)


def what_it_shows(dataset: str, images: int, index: int) -> str:
    """Return what a test image (from 0) shows, such as "violet square on a yellow background"; "" if that is not known."""
    known = known_factors(dataset, images)
    return "" if known is None else "{color} {shape} on a {background} background".format(**known.iloc[index])


def codes(column: pd.Series) -> Tensor:
    """Return the number of each value among the categories of a column: (N,) int64."""
    return torch.from_numpy(column.cat.codes.to_numpy(dtype="int64", copy=True))
