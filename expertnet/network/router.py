"""Routers, which give each image its routing weights.

Shapes: N images, C channels, K experts, H x W pixels.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from expertnet.network.gates import channel_means
from expertnet.settings.schema import ModelSettings


class Router(nn.Module):
    """Spatial mean -> Linear C to C/reduction -> ReLU -> Linear to K -> softmax: (N, C, H, W) -> (N, K).

    The weights of an image sum to 1. The logits are divided by `temperature` (Chen 2020), a buffer saved with the weights; 1 is
    the report's plain softmax. Routing is computed in float32 or more, since bfloat16 may round different weights to equal ones.
    A random router has the same initial weights as one that learns, and keeps them.
    """

    temperature: Tensor

    def __init__(self, channels: int, num_experts: int, model: ModelSettings) -> None:
        super().__init__()
        hidden = max(channels // model.reduction, 1)
        self.squeeze = nn.Linear(channels, hidden)
        self.route = nn.Linear(hidden, num_experts)
        self.register_buffer("temperature", torch.ones(()))
        self.requires_grad_(model.routing == "learned")

    def forward(self, x_NCHW: Tensor) -> Tensor:
        with torch.autocast(x_NCHW.device.type, enabled=False):
            logits_NK = self.route(F.relu(self.squeeze(channel_means(x_NCHW))))
            return torch.softmax(logits_NK / self.temperature, dim=1)


class UniformRouter(nn.Module):
    """A control without routing: every expert gets 1/K for every image."""

    def __init__(self, num_experts: int) -> None:
        super().__init__()
        self.num_experts = num_experts

    def forward(self, x_NCHW: Tensor) -> Tensor:
        dtype = torch.promote_types(x_NCHW.dtype, torch.float32)
        return torch.full((len(x_NCHW), self.num_experts), 1 / self.num_experts, dtype=dtype, device=x_NCHW.device)
