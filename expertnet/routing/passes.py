"""A trained network block by block, with batch norms that are estimated again after a change of its routing.

Batch norms keep the mean and the variance that their inputs had in training. A change of the routing changes these inputs, so
part of what it does is this mismatch. Estimating both again on training images takes it away (Wu and Johnson 2021,
arXiv:2105.07576).
"""

import copy
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from random import Random
from typing import cast

import torch
from torch import Tensor, nn

from expertnet.data.augment import augment, mix
from expertnet.data.datasets import flips
from expertnet.data.splits import Split
from expertnet.inference.predictor import Predictor
from expertnet.inference.routing_cache import in_batches
from expertnet.network.model import UNCHANGED, Block, Change, Changes
from expertnet.network.routing_metrics import usage
from expertnet.utils.progress import ShouldStop, never

ESTIMATED_ON = 512  # training images; docs/benchmarks.md says how much another sample would change
MIXED = 32  # images that Mixup or CutMix mixes in the same proportion

Statistics = list[tuple[Tensor, Tensor]]  # the mean and variance of each batch norm


class Passes:
    """A copy of a network to run block by block. Pages use the original at the same time, so its batch norms must stay."""

    def __init__(self, predictor: Predictor) -> None:
        self.model = copy.deepcopy(predictor.model).eval()
        self.blocks = cast(list[Block], list(self.model.backbone.blocks))

    def block(
        self, number: int, x_NCHW: Tensor, change: Change | None = None, estimate: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Return the input of the block after `number` (from 1), and the routing weights of the block.

        With `estimate`, the batch norms of the block are first set to the statistics of these inputs.
        """
        block = self.blocks[number - 1]
        if estimate:
            with _estimating(block.experts):
                y, weights_NK = block(x_NCHW, change)
        else:
            y, weights_NK = block(x_NCHW, change)
        return self.model.backbone.pool(number, y), weights_NK

    def after(self, number: int, x_NCHW: Tensor, changes: Changes = UNCHANGED, estimate: bool = False) -> Tensor:
        """Return the logits from the output of block `number`; 0 stands for the stem. `estimate` is that of `block`."""
        for later in range(number + 1, len(self.blocks) + 1):
            x_NCHW, _ = self.block(later, x_NCHW, changes.get(later), estimate)
        return self.model.classifier(x_NCHW)

    def mixed(self, number: int, x_NCHW: Tensor, mix: Tensor, estimate: bool = False) -> Tensor:
        """Return the input of the block after `number` from its own input and the mix of its experts' parts.

        `estimate` is that of `block`, for the batch norm behind the mix if kernels are mixed.
        """
        block = self.blocks[number - 1]
        with _estimating(block.experts) if estimate else nullcontext():
            y_NDHW = block.experts.complete(x_NCHW, mix)
        return self.model.backbone.pool(number, block.add(x_NCHW, y_NDHW))

    def statistics(self, number: int) -> Statistics:
        """Return the statistics of the batch norms behind the mix of block `number`."""
        return [(_of(norm.running_mean).clone(), _of(norm.running_var).clone()) for norm in self._norms(number)]

    def set_statistics(self, number: int, statistics: Statistics) -> None:
        """Replace what `statistics` returns."""
        for norm, (mean, variance) in zip(self._norms(number), statistics, strict=True):
            _of(norm.running_mean).copy_(mean)
            _of(norm.running_var).copy_(variance)

    def _norms(self, number: int) -> list[nn.BatchNorm2d]:
        first = number if self.blocks[number - 1].experts.own_norms else number - 1
        return [norm for block in self.blocks[first:] for norm in _norms_of(block)]


def _norms_of(module: nn.Module) -> list[nn.BatchNorm2d]:
    return [part for part in module.modules() if isinstance(part, nn.BatchNorm2d)]


def _of(tensor: Tensor | None) -> Tensor:
    assert tensor is not None  # all batch norms here keep their statistics
    return tensor


@contextmanager
def _estimating(module: nn.Module) -> Iterator[None]:
    """Normalize by the statistics of the batch, and keep them. A router never depends on the batch, so it is not in here."""
    norms = _norms_of(module)
    momenta = [norm.momentum for norm in norms]
    module.train()
    for norm in norms:
        norm.momentum = 1.0
    yield
    module.eval()
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def calibration_images(predictor: Predictor, training: Split) -> tuple[Tensor, Tensor]:
    """Return the first ESTIMATED_ON images of a training split, augmented as in training, for a network, and their labels."""
    data, generator = predictor.settings.data, torch.Generator().manual_seed(0)
    order = torch.randperm(len(training), generator=generator)[:ESTIMATED_ON]
    chosen = training.take(order)
    images = predictor.normalized(augment(chosen.images, data, flips(data), generator))
    if data.mixup or data.cutmix:
        random = Random(0)
        images = torch.cat([mix(part, data, random, generator)[0] for part in images.split(MIXED)])
    return images.contiguous(memory_format=torch.channels_last), chosen.labels


def estimated(predictor: Predictor, images_N3SS: Tensor, changes: Changes = UNCHANGED) -> Passes:
    """Return the network with the batch norms of its blocks estimated again under changes to its routing.

    Without changes, that is the control of every change.
    """
    passes = Passes(predictor)
    passes.after(0, passes.model.stem(images_N3SS), changes, estimate=True)
    return passes


def mean_weights(network: Passes, predictor: Predictor, split: Split, cancelled: ShouldStop = never) -> Tensor:
    """Return the mean routing weights of images: (B, K)."""
    batches = (predictor.normalized(split.images[here]) for here, _ in in_batches(split, cancelled))
    return usage(torch.cat([network.model(pixels, True)[1] for pixels in batches]))
