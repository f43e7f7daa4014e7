"""Changes to the routing of a trained network: what would it say if images were routed otherwise?

In this module: the changes to a block's weights (silenced, forced, swapped, given, uniform, top1) and, for one image,
applied, with_weight, written and read (weights that were set, as an address has them) and feature_maps. What they do to the
whole test set is measured in effects.py.
Shapes: N images, B blocks, K experts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from expertnet.network.model import Change

# --- changes to the weights (N, K) of one block; experts are counted from 0 -------------------------------------------


def ablated(expert: int, renormalise: bool = True) -> Change:
    """The expert's weight becomes 0. Renormalised, the others grow in proportion to keep the sum (all alike if they had nothing)."""

    def change(weights_NK: Tensor) -> Tensor:
        rest = weights_NK.clone()
        rest[:, expert] = 0
        if not renormalise or rest.shape[1] == 1:
            return rest
        total, left = weights_NK.sum(1, keepdim=True), rest.sum(1, keepdim=True)
        alike = torch.full_like(rest, 1 / (rest.shape[1] - 1))
        alike[:, expert] = 0
        return torch.where(left > 0, rest * (total / left.clamp_min(1e-30)), alike * total)

    return change


def forced(expert: int) -> Change:
    """All of the weight goes to one expert."""

    def change(weights_NK: Tensor) -> Tensor:
        alone = torch.zeros_like(weights_NK)
        alone[:, expert] = 1
        return alone

    return change


def swapped(first: int, second: int) -> Change:
    """Two experts change their weights."""

    def change(weights_NK: Tensor) -> Tensor:
        order = list(range(weights_NK.shape[1]))
        order[first], order[second] = second, first
        return weights_NK[:, order]

    return change


def given(weights: Tensor | Sequence[float]) -> Change:
    """The weights given, (K,) for all images or (N, K)."""
    fixed = torch.as_tensor(weights)
    return lambda weights_NK: fixed.to(weights_NK).expand_as(weights_NK)


def top1(weights_NK: Tensor) -> Tensor:
    """Each image's first expert gets all of the weight."""
    return torch.nn.functional.one_hot(weights_NK.argmax(1), weights_NK.shape[1]).to(weights_NK)


def uniform(weights_NK: Tensor) -> Tensor:
    """Every expert gets 1/K."""
    return torch.full_like(weights_NK, 1 / weights_NK.shape[1])


def applied(change: Change, weights: Sequence[float]) -> list[float]:
    """A change to the weights of one block and one image."""
    return change(torch.tensor([weights], dtype=torch.float64))[0].tolist()


def with_weight(weights: Sequence[float], expert: int, weight: float) -> list[float]:
    """One expert's weight set by hand; the others keep their proportions (or are all alike) so that the sum is 1."""
    others = applied(ablated(expert), weights)
    scale = (1 - weight) / (sum(others) or 1)
    return [weight if k == expert else other * scale for k, other in enumerate(others)]


def to_text(changed: Mapping[int, Sequence[float]]) -> str:
    """Weights that were set by block (from 1) as text: 2:0.5,0.3,0.2;5:1,0,0."""
    return ";".join(f"{block}:{','.join(f'{w:.4g}' for w in weights)}" for block, weights in sorted(changed.items()))


def from_text(text: str, blocks: int, experts: int) -> dict[int, list[float]]:
    """The weights that `written` wrote; what is none of a network of so many blocks and experts is left out."""
    found = {}
    for part in text.split(";"):
        block, _, numbers = part.partition(":")
        try:
            weights = [float(number) for number in numbers.split(",")]
            fits = len(weights) == experts and min(weights) >= 0 and abs(sum(weights) - 1) < 0.01
            if fits and 1 <= int(block) <= blocks:
                found[int(block)] = weights
        except ValueError:
            continue
    return found
