"""The network of experts, from the reference report.

Shapes: N images, C channels in, D channels out, K experts, B blocks, H x W pixels.
Related work: CondConv (Yang 2019, arXiv:1904.04971), Dynamic Convolution (Chen 2020, arXiv:1912.03458),
ODConv (Li 2022, arXiv:2209.07947). Those mix the experts' kernels; this network mixes their outputs.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import pairwise
from types import MappingProxyType
from typing import Literal, overload

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from expertnet.network.stem import ACTIVATIONS, Stem, WhitenedStem, make_norm
from expertnet.settings.schema import ModelSettings

Change = Callable[[Tensor], Tensor]  # a block's routing weights (N, K) -> the weights to use instead
Changes = Mapping[int, Change]  # by block number, from 1
UNCHANGED: Changes = MappingProxyType({})


class ExpertBranch(nn.Module):
    """The router: spatial mean -> Linear C to C/reduction -> ReLU -> Linear to K -> softmax: (N, C, H, W) -> (N, K).

    The weights of an image sum to 1. The logits are divided by `temperature` (Chen 2020), a buffer saved with the weights; 1 is
    the report's plain softmax. Routing is computed in float32 or more, since bfloat16 may round different weights to equal ones.
    """

    temperature: Tensor

    def __init__(self, channels: int, num_experts: int, reduction: int) -> None:
        super().__init__()
        hidden = max(channels // reduction, 1)
        self.squeeze = nn.Linear(channels, hidden)
        self.route = nn.Linear(hidden, num_experts)
        self.register_buffer("temperature", torch.ones(()))

    def forward(self, x_NCHW: Tensor) -> Tensor:
        with torch.autocast(x_NCHW.device.type, enabled=False):
            mean_NC = x_NCHW.mean(dim=(2, 3), dtype=torch.promote_types(x_NCHW.dtype, torch.float32))
            logits_NK = self.route(F.relu(self.squeeze(mean_NC)))
            return torch.softmax(logits_NK / self.temperature, dim=1)


class UniformBranch(nn.Module):
    """A control without routing: every expert gets 1/K for every image."""

    def __init__(self, num_experts: int) -> None:
        super().__init__()
        self.num_experts = num_experts

    def forward(self, x_NCHW: Tensor) -> Tensor:
        dtype = torch.promote_types(x_NCHW.dtype, torch.float32)
        return torch.full((len(x_NCHW), self.num_experts), 1 / self.num_experts, dtype=dtype, device=x_NCHW.device)


class ExpertConvs(nn.Module):
    """K 3x3 convolutions, each with its own batch norm and activation, summed with the routing weights.

    (N, C, H, W) and (N, K) -> (N, D, H, W), or half of H and W if `pools`, which pools before the norm. A single convolution
    C -> K*D holds the K kernels. A GPU computes it in one call; a CPU is faster expert by expert, since each output is mixed
    while it is still in the cache. Both use the same parameters.
    """

    def __init__(self, channels: int, channels_out: int, num_experts: int, model: ModelSettings, pools: bool) -> None:
        super().__init__()
        self.num_experts, self.pools, self.activation = num_experts, pools, ACTIVATIONS[model.activation]
        self.conv = nn.Conv2d(channels, num_experts * channels_out, 3, padding=1, bias=False)
        self.norm = make_norm(num_experts * channels_out, model)
        if model.dirac:
            with torch.no_grad():
                nn.init.dirac_(self.conv.weight[:channels])  # of the first expert; equal experts would stay alike

    def forward(self, x_NCHW: Tensor, weights_NK: Tensor) -> Tensor:
        if x_NCHW.device.type == "cpu":
            return self.forward_per_expert(x_NCHW, weights_NK)
        return self.forward_fused(x_NCHW, weights_NK)

    def forward_fused(self, x_NCHW: Tensor, weights_NK: Tensor) -> Tensor:
        """Compute all experts in one convolution."""
        y_NKDHW = self.unmixed(x_NCHW).unflatten(1, (self.num_experts, -1))
        # Not einsum, whose matrix product cannot be fused with the norm and the activation
        return (y_NKDHW * weights_NK.to(y_NKDHW.dtype)[:, :, None, None, None]).sum(1)

    def unmixed(self, x_NCHW: Tensor) -> Tensor:
        """Return the outputs of all experts side by side: (N, K*D, H, W)."""
        return self.activation(self.norm(self.pool(self.conv(x_NCHW))))

    def pool(self, z_NDHW: Tensor) -> Tensor:
        return F.max_pool2d(z_NDHW, 2) if self.pools else z_NDHW

    def forward_per_expert(self, x_NCHW: Tensor, weights_NK: Tensor) -> Tensor:
        """Compute the experts one after another."""
        return self.mix(self.outputs(x_NCHW), weights_NK)

    def outputs(self, x_NCHW: Tensor) -> Iterator[Tensor]:
        """Yield the output of each expert: K times (N, D, H, W)."""
        norm = self.norm
        if self.training and norm.num_batches_tracked is not None:
            norm.num_batches_tracked.add_(1)
        assert norm.running_mean is not None and norm.running_var is not None
        # Views, one per expert; batch_norm updates those of the running statistics in place.
        tensors = (self.conv.weight, norm.weight, norm.bias, norm.running_mean, norm.running_var)
        parts = zip(*(tensor.chunk(self.num_experts) for tensor in tensors), strict=True)
        for kernel, scale, shift, mean, variance in parts:
            z = self.pool(F.conv2d(x_NCHW, kernel, padding=1))
            z = F.batch_norm(z, mean, variance, scale, shift, self.training, norm.momentum or 0.0, norm.eps)
            yield self.activation(z)

    @staticmethod
    def mix(outputs: Iterable[Tensor], weights_NK: Tensor) -> Tensor:
        """Return the sum of the experts' outputs (N, D, H, W), each times its weight."""
        total: Tensor | None = None
        for z, weight_N in zip(outputs, weights_NK.unbind(1), strict=True):
            share = weight_N.to(z.dtype)[:, None, None, None]
            total = z * share if total is None else torch.addcmul(total, z, share)
        assert total is not None
        return total


class Block(nn.Module):
    """O = sum over k of a_k * Conv_k(X): (N, C, H, W) -> (N, D, H, W), and the routing weights a (N, K).

    A residual block adds X to O, with zeros for missing channels (He 2016, arXiv:1512.03385, option A). A plain block has one
    convolution, which always has the weight 1.
    """

    def __init__(self, channels: int, channels_out: int, model: ModelSettings, number: int) -> None:
        super().__init__()
        self.residual, self.plain = model.residual, number not in model.routed_blocks
        experts = 1 if self.plain else model.num_experts
        self.branch = (
            ExpertBranch(channels, experts, model.reduction)
            if model.routing == "learned" and not self.plain
            else UniformBranch(experts)
        )
        pools = model.pool_before_norm and number in model.pool_after
        self.experts = ExpertConvs(channels, channels_out, experts, model, pools)

    def forward(self, x_NCHW: Tensor, change: Change | None = None) -> tuple[Tensor, Tensor]:
        weights_NK = self.branch(x_NCHW)
        if self.plain:
            return self.add(x_NCHW, self.experts.unmixed(x_NCHW)), weights_NK
        if change is not None:
            weights_NK = change(weights_NK)
        return self.add(x_NCHW, self.experts(x_NCHW, weights_NK)), weights_NK

    def add(self, x_NCHW: Tensor, y_NDHW: Tensor) -> Tensor:
        """Return the experts' mixed output, plus X if the block is residual."""
        if not self.residual:
            return y_NDHW
        missing = y_NDHW.shape[1] - x_NCHW.shape[1]
        x_NCHW = self.experts.pool(x_NCHW)
        return y_NDHW + (F.pad(x_NCHW, (0, 0, 0, 0, 0, missing)) if missing else x_NCHW)


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

    def __init__(self, model: ModelSettings, num_classes: int) -> None:
        super().__init__()
        self.stem = WhitenedStem(model) if model.whitened_stem else Stem(model)
        self.backbone = Backbone(model)
        classifier = MaxClassifier if model.head == "max" else Classifier
        self.classifier = classifier(model.block_widths[-1], num_classes)

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
