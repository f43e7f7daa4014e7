"""The experts of a block, and how the routing weights mix them.

Shapes: N images, C channels in, D channels out, K experts, H x W pixels.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from expertnet.network.gates import KernelGate
from expertnet.network.norm_mix import NormMix
from expertnet.network.stem import ACTIVATIONS, Norm, make_norm
from expertnet.settings.schema import ModelSettings


class Experts(nn.Module, ABC):
    """K 3x3 kernels for each of D channels: (N, C, H, W) and routing weights (N, K) -> (N, D, H, W).

    A single convolution C -> K*D holds the kernels. With `pools`, H and W are halved before the norm.
    """

    own_norms: bool  # whether each expert has a norm of its own

    def __init__(self, channels: int, channels_out: int, num_experts: int, model: ModelSettings, pools: bool) -> None:
        super().__init__()
        self.num_experts, self.pools, self.activation = num_experts, pools, ACTIVATIONS[model.activation]
        self.conv = nn.Conv2d(channels, num_experts * channels_out, 3, padding=1, bias=False)
        self.norm = make_norm((num_experts if self.own_norms else 1) * channels_out, model)
        if model.dirac:
            with torch.no_grad():
                nn.init.dirac_(self.conv.weight[:channels])  # of the first expert; equal experts would stay alike

    def finish(self, z_NDHW: Tensor) -> Tensor:
        """Apply what follows a convolution."""
        return self.activation(self.norm(self.pool(z_NDHW)))

    def pool(self, z_NDHW: Tensor) -> Tensor:
        return F.max_pool2d(z_NDHW, 2) if self.pools else z_NDHW

    @abstractmethod
    def parts(self, x_NCHW: Tensor) -> Iterator[Tensor]:
        """Yield what the weights mix, expert by expert."""

    @abstractmethod
    def complete(self, x_NCHW: Tensor, mix: Tensor) -> Tensor:
        """Return the output (N, D, H, W) from the mix of the parts."""

    @staticmethod
    def mix(parts: Iterable[Tensor], weights_NK: Tensor) -> Tensor:
        """Return the sum of the parts, each times its weight."""
        total: Tensor | None = None
        for part, weight_N in zip(parts, weights_NK.unbind(1), strict=True):
            share = weight_N.to(part.dtype)[:, None, None, None]
            total = part * share if total is None else torch.addcmul(total, part, share)
        assert total is not None
        return total


class ExpertConvs(Experts):
    """Mixes the experts' outputs: each has its own batch norm and activation, and the routing weights sum them up.

    A GPU computes all experts in one call, and so do exported graphs, which are simpler then. A CPU is faster expert by expert,
    since each output is mixed while it is still in the cache. Both use the same parameters.
    """

    own_norms = True

    def forward(self, x_NCHW: Tensor, weights_NK: Tensor) -> Tensor:
        if x_NCHW.device.type == "cpu" and not torch.compiler.is_exporting():
            return self.forward_per_expert(x_NCHW, weights_NK)
        if torch.compiler.is_dynamo_compiling() and self.is_plain_norm():
            return self.forward_in_one_piece(x_NCHW, weights_NK)
        return self.forward_fused(x_NCHW, weights_NK)

    def is_plain_norm(self) -> bool:
        """Return whether what follows the convolution is a batch norm over the images at hand and then a ReLU, as NormMix has it."""
        return type(self.norm) is Norm and self.norm.training and self.activation is F.relu

    def forward_in_one_piece(self, x_NCHW: Tensor, weights_NK: Tensor) -> Tensor:
        """Compute all experts in one convolution, and what follows it with as few passes over the memory as possible."""
        norm, z_NEHW = self.norm, self.pool(self.conv(x_NCHW))
        y_NDHW, mean_E, variance_E = NormMix.apply(z_NEHW, weights_NK, norm.weight, norm.bias, norm.eps)
        norm.follow(mean_E, variance_E, z_NEHW.numel() // len(mean_E))
        return y_NDHW

    def forward_fused(self, x_NCHW: Tensor, weights_NK: Tensor) -> Tensor:
        """Compute all experts in one convolution."""
        # Not einsum, whose matrix product cannot be fused with the norm and the activation, and not a sum over a dimension of
        # experts, whose result is no longer channels last, as the next convolution needs it
        return self.mix(self.finish(self.conv(x_NCHW)).chunk(self.num_experts, dim=1), weights_NK)

    def forward_per_expert(self, x_NCHW: Tensor, weights_NK: Tensor) -> Tensor:
        """Compute the experts one after another."""
        return self.mix(self.parts(x_NCHW), weights_NK)

    def parts(self, x_NCHW: Tensor) -> Iterator[Tensor]:
        """Yield the output of each expert: K times (N, D, H, W)."""
        norm = self.norm
        if self.training and norm.num_batches_tracked is not None:
            norm.num_batches_tracked.add_(1)
        kernels = self.conv.weight.chunk(self.num_experts)
        convolved = (self.pool(F.conv2d(x_NCHW, kernel, padding=1)) for kernel in kernels)
        for z_NDHW in norm.apply_each(convolved, self.num_experts):
            yield self.activation(z_NDHW)

    def complete(self, x_NCHW: Tensor, mix: Tensor) -> Tensor:
        return mix


class KernelConvs(Experts):
    """Mixes the experts' kernels for each image, with one batch norm and activation after the convolution.

    CondConv (Yang 2019, arXiv:1904.04971) and Dynamic Convolution (Chen 2020, arXiv:1912.03458); with gates, ODConv (Li 2022,
    arXiv:2209.07947). The images become groups of one convolution, since each has its own kernel.
    """

    own_norms = False

    def __init__(self, channels: int, channels_out: int, num_experts: int, model: ModelSettings, pools: bool) -> None:
        super().__init__(channels, channels_out, num_experts, model, pools)
        self.gate = KernelGate(channels, channels_out, model.reduction) if model.gates == "odconv" else None

    def forward(self, x_NCHW: Tensor, weights_NK: Tensor) -> Tensor:
        kernels_NS = weights_NK @ self.conv.weight.reshape(self.num_experts, -1)
        return self.complete(x_NCHW, kernels_NS.view(x_NCHW.shape[0], -1, x_NCHW.shape[1], 9))

    def parts(self, x_NCHW: Tensor) -> Iterator[Tensor]:
        """Yield the kernels of each expert: K times (1, D, C, 9)."""
        yield from self.conv.weight.flatten(2)[None].chunk(self.num_experts, dim=1)

    def complete(self, x_NCHW: Tensor, mix: Tensor) -> Tensor:
        if self.gate is None:
            return self.finish(self.convolve(x_NCHW, mix))
        inputs_NC, outputs_ND, places_N9 = self.gate(x_NCHW)
        z_NDHW = self.convolve(x_NCHW * inputs_NC[:, :, None, None], mix * places_N9[:, None, None])
        return self.finish(z_NDHW * outputs_ND[:, :, None, None])

    @staticmethod
    def convolve(x_NCHW: Tensor, kernels_NDC9: Tensor) -> Tensor:
        """Apply its own kernels to each image."""
        if torch.compiler.is_exporting():  # ONNX has no convolution with as many groups as there are images
            return KernelConvs.multiply(x_NCHW, kernels_NDC9)
        count, _, channels, _ = kernels_NDC9.shape
        images = x_NCHW.reshape(1, -1, *x_NCHW.shape[2:])
        z = F.conv2d(images, kernels_NDC9.reshape(-1, channels, 3, 3), padding=1, groups=count)
        return z.unflatten(1, (count, -1))[0]

    @staticmethod
    def multiply(x_NCHW: Tensor, kernels_NDC9: Tensor) -> Tensor:
        """Apply its own kernels to each image as a matrix product, with the nine neighbors of every pixel."""
        height, width = x_NCHW.shape[2:]
        padded = F.pad(x_NCHW, (1, 1, 1, 1))
        places = [padded[:, :, row : row + height, column : column + width] for row in range(3) for column in range(3)]
        neighbors_NSP = torch.stack(places, dim=2).flatten(3).flatten(1, 2)
        return (kernels_NDC9.flatten(2) @ neighbors_NSP).unflatten(2, (height, width))
