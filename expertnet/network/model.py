"""The network of experts, from the reference report.

Shapes: N images, C channels in, D channels out, K experts, B blocks, H x W pixels.
Related work: CondConv (Yang 2019, arXiv:1904.04971), Dynamic Convolution (Chen 2020, arXiv:1912.03458),
ODConv (Li 2022, arXiv:2209.07947). Those mix the experts' kernels; the report's network mixes their outputs.
"""

from collections.abc import Callable, Mapping
from itertools import pairwise
from os import PathLike
from pathlib import Path
from types import MappingProxyType
from typing import Literal, Self, overload

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from expertnet.data.info import DatasetInfo
from expertnet.errors import RunError
from expertnet.network.gates import ChannelGate
from expertnet.network.mixing import ExpertConvs, Experts, KernelConvs
from expertnet.network.pretrained import read_pretrained
from expertnet.network.router import Router, UniformRouter
from expertnet.network.stem import Stem, WhitenedStem
from expertnet.settings.schema import ModelSettings

Change = Callable[[Tensor], Tensor]  # a block's routing weights (N, K) -> the weights to use instead
Changes = Mapping[int, Change]  # by block number, from 1
UNCHANGED: Changes = MappingProxyType({})
SMALLEST = 1e-30  # sum of an image's sigmoids, so that it can be divided by


class Block(nn.Module):
    """O = sum over k of a_k * Conv_k(X): (N, C, H, W) -> (N, D, H, W), and the routing weights a (N, K).

    If kernels are mixed, O is a convolution of X with the sum over k of a_k * W_k.
    A residual block adds X to O, with zeros for missing channels (He 2016, arXiv:1512.03385, option A). A plain block has one
    convolution, which always has the weight 1, and no gate.
    """

    def __init__(self, channels: int, channels_out: int, model: ModelSettings, number: int) -> None:
        super().__init__()
        self.residual, self.plain = model.residual, number not in model.routed_blocks
        experts = 1 if self.plain else model.num_experts
        is_uniform = self.plain or model.routing == "uniform"
        self.branch = UniformRouter(experts) if is_uniform else Router(channels, experts, model)
        self.sums_to_1 = is_uniform or (model.router_output == "softmax" and not model.top_k)
        pools = model.pool_before_norm and number in model.pool_after
        kind: type[Experts] = KernelConvs if model.mixing == "kernels" and not self.plain else ExpertConvs
        self.experts = kind(channels, channels_out, experts, model, pools)
        self.gate = ChannelGate(channels_out, model.reduction) if model.gates == "se" and not self.plain else None

    def forward(self, x_NCHW: Tensor, change: Change | None = None) -> tuple[Tensor, Tensor]:
        weights_NK, factor_N1 = self.routing(x_NCHW)
        if self.plain:
            return self.add(x_NCHW, self.experts.finish(self.experts.conv(x_NCHW))), weights_NK
        if change is not None:
            weights_NK = change(weights_NK)
        return self.add(x_NCHW, self.experts(x_NCHW, scaled(weights_NK, factor_N1))), weights_NK

    def routing(self, x_NCHW: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the routing weights (N, K) and a factor (N, 1) that multiplies those of an image; None stands for 1.

        The weights sum to 1, so that all routings compare alike. If the router's do not, the factor is their sum, which stays when
        the weights are changed.
        """
        weights_NK = self.branch(x_NCHW)
        if self.sums_to_1:
            return weights_NK, None
        return sharing(weights_NK)

    def add(self, x_NCHW: Tensor, y_NDHW: Tensor) -> Tensor:
        """Return the block's output: the experts' mix, with its channels scaled by the gate, plus X if the block is residual."""
        if self.gate is not None:
            y_NDHW = self.gate(y_NDHW)
        if not self.residual:
            return y_NDHW
        missing = y_NDHW.shape[1] - x_NCHW.shape[1]
        x_NCHW = self.experts.pool(x_NCHW)
        return y_NDHW + (F.pad(x_NCHW, (0, 0, 0, 0, 0, missing)) if missing else x_NCHW)


def sharing(weights_NK: Tensor) -> tuple[Tensor, Tensor]:
    """Return weights (..., K) that sum to 1, and the factor (..., 1) that they were divided by."""
    factor_N1 = weights_NK.sum(-1, keepdim=True).clamp_min(SMALLEST)
    return weights_NK / factor_N1, factor_N1


def scaled(weights_NK: Tensor, factor_N1: Tensor | None) -> Tensor:
    """Return the weights times the factor."""
    return weights_NK if factor_N1 is None else weights_NK * factor_N1


class Backbone(nn.Module):
    """The blocks in order, with 2x2 max pooling after the blocks in `pool_after` (from 1), or inside them.

    (N, C, H, W) -> features (N, D, h, w) and the routing weights (N, B, K). In plain blocks, the first expert has them all.
    """

    def __init__(self, model: ModelSettings) -> None:
        super().__init__()
        self.pool_after = frozenset(() if model.pool_before_norm else model.pool_after)
        self.num_experts = model.num_experts
        widths = pairwise((model.stem_width, *model.block_widths))
        self.blocks = nn.ModuleList(Block(*pair, model, number) for number, pair in enumerate(widths, start=1))

    def forward(self, x_NCHW: Tensor, changes: Changes = UNCHANGED) -> tuple[Tensor, Tensor]:
        routing = []
        for number, block in enumerate(self.blocks, start=1):
            x_NCHW, weights_NK = block(x_NCHW, changes.get(number))
            routing.append(F.pad(weights_NK, (0, self.num_experts - weights_NK.shape[1])))
            x_NCHW = self.pool(number, x_NCHW)
        return x_NCHW, torch.stack(routing, dim=1)

    def pool(self, number: int, x_NCHW: Tensor) -> Tensor:
        """Apply 2x2 max pooling if it follows block `number`."""
        return F.max_pool2d(x_NCHW, 2) if number in self.pool_after else x_NCHW


class Classifier(nn.Module):
    """Spatial mean and a linear layer: (N, C, H, W) -> (N, classes)."""

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.head = nn.Linear(channels, num_classes)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        return self.head(x_NCHW.mean(dim=(2, 3)))


class MaxClassifier(nn.Module):
    """Spatial maximum and a linear layer without bias, over C: (N, C, H, W) -> (N, classes) (Jordan 2024, arXiv:2404.00498).

    The initial weights have a standard deviation of 1.
    """

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.head = nn.Linear(channels, num_classes, bias=False)
        nn.init.normal_(self.head.weight)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        return self.head(x_NCHW.amax(dim=(2, 3))) / x_NCHW.shape[1]


class ExpertNet(nn.Module):
    """Stem, backbone, classifier: (N, 3, H, W) normalized images -> (N, classes) logits.

    `return_routing` also returns the routing weights (N, B, K). `changes` replaces the weights of some blocks.
    """

    info: DatasetInfo | None = None  # classes, mean and standard deviation of a network from `from_pretrained`

    def __init__(self, model: ModelSettings, num_classes: int) -> None:
        super().__init__()
        self.stem = WhitenedStem(model) if model.whitened_stem else Stem(model)
        self.backbone = Backbone(model)
        classifier = MaxClassifier if model.head == "max" else Classifier
        self.classifier = classifier(model.block_widths[-1], num_classes)

    @classmethod
    def from_pretrained(cls, path: str | PathLike[str]) -> Self:
        """Return the trained network in an exported folder or safetensors file, or in a run's folder, in eval mode.

        Raises RunError if it is missing or damaged, and SettingsError if its settings come from another version.
        """
        settings, info, weights = read_pretrained(Path(path))
        with torch.device("meta"):  # a network that the weights do not fit may be too large for the memory
            net = cls(settings.model, len(info.classes))
        try:
            net.load_state_dict(weights, assign=True)
        except RuntimeError:
            raise RunError(f"The weights in {path} do not fit the network that its settings describe.") from None
        net.info = info
        return net.eval()

    @overload
    def forward(
        self, images_N3HW: Tensor, return_routing: Literal[False] = False, changes: Changes = UNCHANGED
    ) -> Tensor: ...
    @overload
    def forward(
        self, images_N3HW: Tensor, return_routing: Literal[True], changes: Changes = UNCHANGED
    ) -> tuple[Tensor, Tensor]: ...
    def forward(
        self, images_N3HW: Tensor, return_routing: bool = False, changes: Changes = UNCHANGED
    ) -> Tensor | tuple[Tensor, Tensor]:
        features, routing_NBK = self.backbone(self.stem(images_N3HW), changes)
        logits = self.classifier(features)
        return (logits, routing_NBK) if return_routing else logits
