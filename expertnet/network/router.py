"""Routers, which give each image its routing weights.

Shapes: N images, C channels, K experts, H x W pixels.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from expertnet.network.gates import channel_deviations, channel_means
from expertnet.settings.schema import ModelSettings


class Router(nn.Module):
    """Spatial mean -> Linear C to C/reduction -> ReLU -> Linear to K -> softmax or sigmoid: (N, C, H, W) -> (N, K).

    The weights that a softmax gives an image sum to 1. Its logits are divided by `temperature` (Chen 2020), a buffer saved with
    the weights; 1 is the report's plain softmax. Routing is computed in float32 or more, since bfloat16 may round different
    weights to equal ones. A random router has the same initial weights as one that learns, and keeps them.

    Its input can also have the standard deviation of each channel (Lee 2019, arXiv:1903.10829), which distinguishes textures.

    With `top_k`, all but the largest weights of an image become 0 (Shazeer 2017, arXiv:1701.06538). The others stay as they are, so
    that a router of a single expert per image learns, too (Switch; Fedus 2021, arXiv:2101.03961).
    """

    temperature: Tensor

    def __init__(self, channels: int, num_experts: int, model: ModelSettings) -> None:
        super().__init__()
        hidden = max(channels // model.reduction, 1)
        self.deviation = model.router_input == "mean_deviation"
        self.squeeze = nn.Linear((1 + self.deviation) * channels, hidden)
        self.route = nn.Linear(hidden, num_experts)
        self.register_buffer("temperature", torch.ones(()))
        self.sigmoid, self.top_k, learns = model.router_output == "sigmoid", model.top_k, model.routing == "learned"
        self.balance = model.balance if learns else 0.0
        self.requires_grad_(learns)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        with torch.autocast(x_NCHW.device.type, enabled=False):
            input_NC = channel_means(x_NCHW)
            if self.deviation:
                input_NC = torch.cat((input_NC, channel_deviations(x_NCHW)), dim=1)
            logits_NK = self.route(F.relu(self.squeeze(input_NC)))
            if self.sigmoid:
                return torch.sigmoid(logits_NK)
            weights_NK = torch.softmax(logits_NK / self.temperature, dim=1)
            return self.keep_top(weights_NK) if self.top_k else weights_NK

    def keep_top(self, weights_NK: Tensor) -> Tensor:
        """Return the weights with all but the `top_k` largest of each image set to 0."""
        top_NK = torch.zeros_like(weights_NK).scatter(1, weights_NK.topk(self.top_k, dim=1).indices, 1.0)
        if self.training and self.balance:
            weights_NK = Balanced.apply(weights_NK, top_NK, self.balance)
        return weights_NK * top_NK


class Balanced(torch.autograd.Function):
    """Returns weights (N, K) as they are, and adds the gradient of the load-balancing loss (Fedus 2021) to theirs.

    The loss is `share` times K sum over k of f_k P_k, with the share f_k of the images' choices that fall on expert k and its mean
    weight P_k. It is lowest when all experts are chosen equally often. Since only its gradient is needed, it enters here, and not
    the training loss, which stays comparable between networks.
    """

    @staticmethod
    def forward(ctx: Any, weights_NK: Tensor, top_NK: Tensor, share: float) -> Tensor:
        count, experts = weights_NK.shape
        ctx.save_for_backward(top_NK.sum(0) * (share * experts / count) / top_NK.sum())
        return weights_NK.view_as(weights_NK)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (gradient_K,) = ctx.saved_tensors
        return gradients[0] + gradient_K, None, None


class UniformRouter(nn.Module):
    """A control without routing: every expert gets 1/K for every image."""

    def __init__(self, num_experts: int) -> None:
        super().__init__()
        self.num_experts = num_experts

    def forward(self, x_NCHW: Tensor) -> Tensor:
        dtype = torch.promote_types(x_NCHW.dtype, torch.float32)
        return torch.full((x_NCHW.shape[0], self.num_experts), 1 / self.num_experts, dtype=dtype, device=x_NCHW.device)
