"""Batch norms over the images of all processes that train a run. PyTorch's SyncBatchNorm does so on GPUs only.

Shapes: P processes, N images of this one, C channels, D channels of a part, H x W pixels.
"""

from collections.abc import Iterable, Iterator
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
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        (y_NCHW,) = self.apply_each([x_NCHW], 1)
        return y_NCHW

    def apply_each(self, parts: Iterable[Tensor], count: int) -> Iterator[Tensor]:
        """Yield the normalized parts, after the statistics of all of them were exchanged at once: every exchange is a wait."""
        if not self.training:
            yield from super().apply_each(parts, count)
            return
        assert self.running_mean is not None and self.running_var is not None
        taken = list(parts)
        mean_C, variance_C, *normalized = Normalize.apply(self.eps, self.weight, self.bias, *taken)
        values = dist.get_world_size() * taken[0][:, 0].numel()
        self.running_mean.lerp_(mean_C, self.momentum or 0.0)
        self.running_var.lerp_(variance_C * (values / max(values - 1, 1)), self.momentum or 0.0)
        yield from normalized


class Normalize(torch.autograd.Function):
    """Normalizes images with the mean and variance of all processes' images, and returns both, then the images.

    The images are parts, each with its share of the C channels. It uses what PyTorch's batch norm is made of: its statistics, and
    what it does with given ones, forward and backward. The gradient also flows through the statistics, by the sums over all images
    of the gradient and of the gradient times the normalized images.
    """

    @staticmethod
    def forward(ctx: Any, eps: float, scale_C: Tensor, shift_C: Tensor, *parts: Tensor) -> tuple[Tensor, ...]:
        own_2C = torch.cat([torch.stack(torch.batch_norm_update_stats(x, None, None, 0.0)) for x in parts], 1)
        all_P2C = scale_C.new_zeros(dist.get_world_size(), 2, len(scale_C))
        all_P2C[dist.get_rank()] = own_2C
        dist.all_reduce(all_P2C)
        means_PC, variances_PC = all_P2C.unbind(1)
        mean_C, variance_C = means_PC.mean(0), variances_PC.mean(0) + means_PC.var(0, correction=0)
        ctx.save_for_backward(mean_C, variance_C, scale_C, *parts)
        ctx.eps = eps
        ctx.mark_non_differentiable(mean_C, variance_C)
        slices = chunks(len(parts), mean_C, variance_C, scale_C, shift_C)
        normalized = [
            F.batch_norm(x, mean_D, variance_D, scale_D, shift_D, False, 0.0, eps)
            for x, (mean_D, variance_D, scale_D, shift_D) in zip(parts, slices, strict=True)
        ]
        return mean_C, variance_C, *normalized

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        mean_C, variance_C, scale_C, *parts = ctx.saved_tensors
        slices = chunks(len(parts), scale_C, mean_C, variance_C)
        found = [
            torch.ops.aten.native_batch_norm_backward(dy, x, *own, None, None, False, ctx.eps, [True, True, True])
            for dy, x, own in zip(gradients[2:], parts, slices, strict=True)
        ]
        dparts, dscales, dshifts = zip(*found, strict=True)
        dscale_C, dshift_C = torch.cat(dscales), torch.cat(dshifts)
        means_2C = torch.stack((dscale_C, dshift_C))
        dist.all_reduce(means_2C)
        means_2C /= dist.get_world_size() * parts[0][:, 0].numel()
        # minus the mean of dy, and minus the normalized images times the mean of dy times them: again a batch norm, which is fast
        scaled_2C = -scale_C * torch.rsqrt(variance_C + ctx.eps) * means_2C
        slices = chunks(len(parts), mean_C, variance_C, *scaled_2C)
        for dx_NDHW, x_NDHW, (mean_D, variance_D, scale_D, shift_D) in zip(dparts, parts, slices, strict=True):
            dx_NDHW += F.batch_norm(x_NDHW, mean_D, variance_D, scale_D, shift_D, False, 0.0, ctx.eps)
        return None, dscale_C, dshift_C, *dparts


def chunks(count: int, *tensors: Tensor) -> list[tuple[Tensor, ...]]:
    """Return the slices of each of `count` parts."""
    return list(zip(*(tensor.chunk(count) for tensor in tensors), strict=True))
