"""The experts of a block, and how the routing weights mix them.

Shapes: N images, C channels in, D channels out, K experts, H x W pixels.
"""

from collections.abc import Iterable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from expertnet.network.stem import ACTIVATIONS, make_norm
from expertnet.settings.schema import ModelSettings


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
