"""Batch norms over the images of all processes that train a run. PyTorch's SyncBatchNorm does so on GPUs only.

Shapes: P processes, N images of this one, C channels, H x W pixels.
"""

from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from expertnet.network.stem import Norm


def synchronize_norms(model: nn.Module) -> None:
    """Make the batch norms inside a model synchronized ones. Their parameters and running statistics stay the same tensors."""
    if next(model.parameters()).is_cuda:
        nn.SyncBatchNorm.convert_sync_batchnorm(model)
    for module in model.modules():
        if isinstance(module, Norm):
            module.__class__ = SyncedNorm  # which adds nothing but methods


class SyncedNorm(Norm):
    """Synchronized batch norm on a CPU. All processes have equally many images."""

    def forward(self, x_NCHW: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x_NCHW)
        assert self.num_batches_tracked is not None and self.running_mean is not None and self.running_var is not None
        self.num_batches_tracked.add_(1)
        return self.apply_to(x_NCHW, self.weight, self.bias, self.running_mean, self.running_var)

    def apply_to(self, x_NCHW: Tensor, scale: Tensor, shift: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        if not self.training:
            return super().apply_to(x_NCHW, scale, shift, mean, variance)
        y_NCHW, mean_C, variance_C = Normalize.apply(x_NCHW, scale, shift, self.eps)
        values = dist.get_world_size() * x_NCHW[:, 0].numel()
        mean.lerp_(mean_C, self.momentum or 0.0)
        variance.lerp_(variance_C * (values / max(values - 1, 1)), self.momentum or 0.0)
        return y_NCHW


class Normalize(torch.autograd.Function):
    """Normalizes images with the mean and variance of all processes' images, and returns both.

    It uses the parts of PyTorch's batch norm: its statistics, and what it does with given ones, forward and backward. The gradient
    also flows through the statistics, by the sums over all images of the gradient and of the gradient times the normalized images.
    """

    @staticmethod
    def forward(
        ctx: Any, x_NCHW: Tensor, scale_C: Tensor, shift_C: Tensor, eps: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        all_P2C = scale_C.new_zeros(dist.get_world_size(), 2, len(scale_C))
        all_P2C[dist.get_rank()] = torch.stack(torch.batch_norm_update_stats(x_NCHW, None, None, 0.0))
        dist.all_reduce(all_P2C)
        means_PC, variances_PC = all_P2C.unbind(1)
        mean_C, variance_C = means_PC.mean(0), variances_PC.mean(0) + means_PC.var(0, correction=0)
        ctx.save_for_backward(x_NCHW, scale_C, mean_C, variance_C)
        ctx.eps = eps
        ctx.mark_non_differentiable(mean_C, variance_C)
        return F.batch_norm(x_NCHW, mean_C, variance_C, scale_C, shift_C, False, 0.0, eps), mean_C, variance_C

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        x_NCHW, scale_C, mean_C, variance_C = ctx.saved_tensors
        dx_NCHW, dscale_C, dshift_C = torch.ops.aten.native_batch_norm_backward(
            gradients[0], x_NCHW, scale_C, mean_C, variance_C, None, None, False, ctx.eps, [True, True, True]
        )
        means_2C = torch.stack((dscale_C, dshift_C))
        dist.all_reduce(means_2C)
        means_2C /= dist.get_world_size() * x_NCHW[:, 0].numel()
        # minus the mean of dy, and minus the normalized images times the mean of dy times them: again a batch norm, which is fast
        scaled_2C = -scale_C * torch.rsqrt(variance_C + ctx.eps) * means_2C
        dx_NCHW += F.batch_norm(x_NCHW, mean_C, variance_C, scaled_2C[0], scaled_2C[1], False, 0.0, ctx.eps)
        return dx_NCHW, dscale_C, dshift_C, None
