"""How alike the outputs of a block's experts are: linear CKA (Kornblith 2019, arXiv:1905.00414), without bias.

CKA compares how two experts arrange the images. It is 1 if their outputs are equal up to a rotation and a scale, and 0 in
expectation if they are unrelated. Experts that see the same input are alike without any training, so the same blocks with random kernels
are the control.
"""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import cast

import pandas as pd
import torch
from scipy.stats import t
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from expertnet.inference.mistakes import Part
from expertnet.inference.predictor import Predictor
from expertnet.network.mixing import Experts
from expertnet.network.model import Block
from expertnet.routing.effects import Images
from expertnet.routing.measure import Measure, Sizes
from expertnet.utils.progress import Report, ShouldStop, never, raise_if_cancelled, silent

IMAGES, GROUPS = 256, 16  # at most so many images, in groups of which the jackknife leaves out one at a time
SIDE = 8  # an output with more rows and columns is averaged to so many, which bounds the memory
UNTRAINED = 5  # draws of random kernels


@dataclass(frozen=True, eq=False)  # compared by identity, to serve as a cache key
class Likeness:
    """CKA of each pair of K experts in B blocks. Only blocks with experts count. A constant output has a CKA of 0."""

    part: Part
    labels: Tensor  # (N,): true classes of the images
    learned: Tensor  # (B, K, K)
    without: Tensor  # (GROUPS, B, K, K): without each group of images
    untrained: Tensor  # (UNTRAINED, B, K, K)


def measure_likeness(
    predictor: Predictor, images: Images, progress: Report = silent, cancelled: ShouldStop = never
) -> Likeness:
    """Compare the experts' outputs for at most IMAGES images, chosen at random."""
    split = images.evaluated.take(
        torch.randperm(len(images.evaluated), generator=torch.Generator().manual_seed(0))[:IMAGES]
    )
    generator, found = torch.Generator().manual_seed(0), []
    groups = torch.arange(len(split)) * GROUPS // len(split)
    with torch.inference_mode():
        for done, (experts, x_NCHW) in enumerate(_inputs(predictor, split.images)):
            progress("Comparing the experts", done / len(predictor.settings.model.routed_blocks))
            raise_if_cancelled(cancelled)
            grams_KNN = _grams(experts, x_NCHW)
            without = [cka(grams_KNN[:, groups != group][:, :, groups != group]) for group in range(GROUPS)]
            random = [cka(_grams(_with_random_kernels(experts, generator), x_NCHW)) for _ in range(UNTRAINED)]
            found.append((cka(grams_KNN), torch.stack(without), torch.stack(random)))
    learned, without_GBKK, untrained = zip(*found, strict=True)
    return Likeness(
        images.part, split.labels, torch.stack(learned), torch.stack(without_GBKK, 1), torch.stack(untrained, 1)
    )


def _inputs(predictor: Predictor, images_N3SS: Tensor) -> Iterator[tuple[Experts, Tensor]]:
    """Yield the experts of each block that has several, and what they see."""
    backbone, x_NCHW = predictor.model.backbone, predictor.model.stem(predictor.normalized(images_N3SS))
    for number, block in enumerate(cast(list[Block], list(backbone.blocks)), start=1):
        if not block.plain:
            yield block.experts, x_NCHW
        x_NCHW = backbone.pool(number, block(x_NCHW)[0])


def _grams(experts: Experts, x_NCHW: Tensor) -> Tensor:
    """Return the inner products of the images' centered outputs, 1 on average for an image with itself, for each expert: (K, N, N)."""
    grams = []
    for alone_K in torch.eye(experts.num_experts):
        y_NDHW = experts(x_NCHW, alone_K.expand(len(x_NCHW), -1))
        y_NF = adaptive_avg_pool2d(y_NDHW, (min(SIDE, y_NDHW.shape[2]), min(SIDE, y_NDHW.shape[3]))).flatten(1).double()
        y_NF = y_NF - y_NF.mean(0)
        gram_NN = y_NF @ y_NF.T
        grams.append(gram_NN / gram_NN.diag().mean().clamp_min(1e-12))  # CKA does not depend on the scale
    return torch.stack(grams)


def _with_random_kernels(experts: Experts, generator: torch.Generator) -> Experts:
    """Return a copy as before training, which normalizes by the statistics of its input."""
    fresh = copy.deepcopy(experts).train()
    reach = fresh.conv.weight[0].numel() ** -0.5  # as nn.Conv2d begins, but without the global generator
    fresh.conv.weight.copy_(torch.empty_like(fresh.conv.weight).uniform_(-reach, reach, generator=generator))
    for parameter, value in ((fresh.norm.weight, 1.0), (fresh.norm.bias, 0.0)):
        parameter.fill_(value)
    return fresh


def cka(grams_KNN: Tensor) -> Tensor:
    """Return the linear CKA of each pair of representations from their Gram matrices, by unbiased estimates of HSIC: (K, K).

    See Nguyen 2021, arXiv:2010.15327. Needs at least four images; with fewer, everything is 0.
    """
    count = grams_KNN.shape[1]
    if count < 4:
        return torch.zeros(len(grams_KNN), len(grams_KNN), dtype=torch.float64)
    off_KNN = grams_KNN * (1 - torch.eye(count, dtype=grams_KNN.dtype))
    rows_KN, sums_K = off_KNN.sum(2), off_KNN.sum((1, 2))
    products_KK = torch.einsum("aij,bij->ab", off_KNN, off_KNN)
    hsic_KK = products_KK + torch.outer(sums_K, sums_K) / ((count - 1) * (count - 2))
    hsic_KK = (hsic_KK - 2 / (count - 2) * rows_KN @ rows_KN.T) / (count * (count - 3))
    own_K = hsic_KK.diag().clamp_min(0)
    scale_KK = torch.outer(own_K, own_K).sqrt()
    return torch.where(scale_KK > 1e-12, hsic_KK / scale_KK.clamp_min(1e-12), 0.0).clamp(-1, 1)


def _shapes(count: int, predictor: Predictor) -> Sizes:
    model = predictor.settings.model
    pairs = len(model.routed_blocks), model.num_experts, model.num_experts
    return {"labels": (count,), "learned": pairs, "without": (GROUPS, *pairs), "untrained": (UNTRAINED, *pairs)}


LIKENESS = Measure("likeness", Likeness, measure_likeness, _shapes)


def likeness_table(found: Likeness, blocks: Sequence[int]) -> pd.DataFrame:
    """Return a row per block and pair of experts: block, first, second, cka, low, high, untrained, untrained_high.

    The interval is by the jackknife over GROUPS groups of images and Student's t, at 95%. `untrained` is the mean and `untrained_high` the
    largest CKA of any pair of experts of the block with random kernels. Of fewer images than groups, nothing is known: all are NaN.
    """
    wide, rows = float(t.ppf(0.975, GROUPS - 1)), []
    for place, block in enumerate(blocks):
        pairs = list(combinations(range(found.learned.shape[1]), 2))
        random = torch.stack([found.untrained[:, place, a, b] for a, b in pairs])
        for a, b in pairs:
            value, without_G = found.learned[place, a, b].item(), found.without[:, place, a, b]
            half = wide * ((GROUPS - 1) * without_G.var(correction=0)).sqrt().item()
            interval = {"low": max(value - half, -1.0), "high": min(value + half, 1.0)}
            own = {"block": block, "first": a + 1, "second": b + 1, "cka": value}
            rows.append(own | interval | {"untrained": random.mean().item(), "untrained_high": random.max().item()})
    table = pd.DataFrame(rows)
    if len(found.labels) < GROUPS:
        table[["cka", "low", "high", "untrained", "untrained_high"]] = float("nan")
    return table
