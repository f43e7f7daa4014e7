"""Gates, which scale the channels of a block for each image.

Shapes: N images, C channels, H x W pixels.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def channel_means(x_NCHW: Tensor) -> Tensor:
    """Return the spatial mean of each channel, in float32 or more: (N, C)."""
    return x_NCHW.mean(dim=(2, 3), dtype=torch.promote_types(x_NCHW.dtype, torch.float32))


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
        with torch.autocast(x_NCHW.device.type, enabled=False):
            gates_NC = torch.sigmoid(self.excite(F.relu(self.squeeze(channel_means(x_NCHW)))))
        return x_NCHW * gates_NC.to(x_NCHW.dtype)[:, :, None, None]
