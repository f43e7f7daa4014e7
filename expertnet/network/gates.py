"""Gates, which scale the channels of a block for each image.

Shapes: N images, C channels, H x W pixels.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

EPSILON = 1e-5  # added to a variance, since the root of 0 has no gradient


def channel_means(x_NCHW: Tensor) -> Tensor:
    """Return the spatial mean of each channel, in float32 or more: (N, C)."""
    return x_NCHW.mean(dim=(2, 3), dtype=torch.promote_types(x_NCHW.dtype, torch.float32))


def channel_deviations(x_NCHW: Tensor) -> Tensor:
    """Return the spatial standard deviation of each channel, in float32 or more: (N, C)."""
    x_NCHW = x_NCHW.to(torch.promote_types(x_NCHW.dtype, torch.float32))
    return (x_NCHW.var(dim=(2, 3), correction=0) + EPSILON).sqrt()


class ChannelGate(nn.Module):
    """Squeeze-and-excitation (Hu 2018, arXiv:1709.01507): (N, C, H, W) -> (N, C, H, W).

    Scales each channel of an image by spatial mean -> Linear C to C/reduction -> ReLU -> Linear to C -> sigmoid.
    """

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        hidden = max(channels // reduction, 1)
        self.squeeze = nn.Linear(channels, hidden)
        self.excite = nn.Linear(hidden, channels)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        return x_NCHW * self.factors(x_NCHW)

    def factors(self, x_NCHW: Tensor) -> Tensor:
        """Return what the channels are multiplied by: (N, C, 1, 1)."""
        with torch.autocast(x_NCHW.device.type, enabled=False):
            gates_NC = torch.sigmoid(self.excite(F.relu(self.squeeze(channel_means(x_NCHW)))))
        return gates_NC.to(x_NCHW.dtype)[:, :, None, None]


class KernelGate(nn.Module):
    """The gates of ODConv (Li 2022, arXiv:2209.07947) for the C input channels, the D output channels and the 9 places of a kernel.

    (N, C, H, W) -> (N, C), (N, D), (N, 9), by spatial mean -> Linear C to C/reduction -> ReLU -> Linear -> sigmoid.
    """

    def __init__(self, channels: int, channels_out: int, reduction: int) -> None:
        super().__init__()
        hidden = max(channels // reduction, 1)
        self.sizes = (channels, channels_out, 9)
        self.squeeze = nn.Linear(channels, hidden)
        self.excite = nn.Linear(hidden, sum(self.sizes))

    def forward(self, x_NCHW: Tensor) -> tuple[Tensor, ...]:
        with torch.autocast(x_NCHW.device.type, enabled=False):
            gates = torch.sigmoid(self.excite(F.relu(self.squeeze(channel_means(x_NCHW)))))
        return gates.to(x_NCHW.dtype).split(self.sizes, dim=1)
