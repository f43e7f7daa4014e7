"""Leaves out experts at random while a network trains (drop-path; Larsson 2016, arXiv:1605.07648)."""

from collections.abc import Callable

import torch
from torch import Generator, Tensor

FLOOR = 1e-6  # added to each weight, since those of the experts that remain may all be zero


class ExpertDropout:
    """A change of a block's routing weights (N, K), to be drawn before each step.

    Each expert of an image is left out with the probability `share`, but the one with the highest draw always remains. The
    weights of those that remain are scaled to the sum 1.
    """

    kept_NK: Tensor

    def __init__(self, share: float, num_experts: int) -> None:
        self.share, self.num_experts = share, num_experts

    def draw(
        self,
        images: int,
        generator: Generator,
        device: torch.device,
        share: Callable[[Tensor], Tensor] = lambda all: all,
    ) -> None:
        """Draw for so many images, and keep the draws of those that `share` picks."""
        draws_NK = share(torch.rand(images, self.num_experts, generator=generator))
        kept_NK = (draws_NK >= self.share) | (draws_NK == draws_NK.amax(1, keepdim=True))
        self.kept_NK = kept_NK.to(device, non_blocking=True)

    def __call__(self, weights_NK: Tensor) -> Tensor:
        left_NK = (weights_NK + FLOOR) * self.kept_NK
        return left_NK / left_NK.sum(1, keepdim=True)
