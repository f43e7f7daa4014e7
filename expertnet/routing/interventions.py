"""Changes to the routing weights of a block, to see what a trained network answers when images are routed differently.

A Change maps weights (N, K) to new ones. Experts are counted from 0.
"""

from collections.abc import Collection, Mapping, Sequence

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from expertnet.network.model import Change


def ablated(expert: int, renormalize: bool = True) -> Change:
    """Set an expert's weight to 0.

    With `renormalize`, the others grow in proportion to keep the sum, or share it equally if they had no weight.
    """

    def change(weights_NK: Tensor) -> Tensor:
        rest = weights_NK.clone()
        rest[:, expert] = 0
        if not renormalize or rest.shape[1] == 1:
            return rest
        total, left = weights_NK.sum(1, keepdim=True), rest.sum(1, keepdim=True)
        even = torch.full_like(rest, 1 / (rest.shape[1] - 1))
        even[:, expert] = 0
        return torch.where(left > 0, rest * (total / left.clamp_min(1e-30)), even * total)

    return change


def forced(expert: int) -> Change:
    """Give one expert all of the weight."""
    return lambda weights_NK: one_hot(torch.tensor(expert), weights_NK.shape[1]).to(weights_NK).expand_as(weights_NK)


def swapped(first: int, second: int) -> Change:
    """Swap the weights of two experts."""

    def change(weights_NK: Tensor) -> Tensor:
        order = list(range(weights_NK.shape[1]))
        order[first], order[second] = second, first
        return weights_NK[:, order]

    return change


def given(weights: Tensor | Sequence[float]) -> Change:
    """Use the given weights, (K,) for all images or (N, K)."""
    fixed = torch.as_tensor(weights)
    return lambda weights_NK: fixed.to(weights_NK).expand_as(weights_NK)


def top1(weights_NK: Tensor) -> Tensor:
    """Give each image's top expert all of its weight."""
    return one_hot(weights_NK.argmax(1), weights_NK.shape[1]).to(weights_NK)


def uniform(weights_NK: Tensor) -> Tensor:
    """Give every expert 1/K."""
    return torch.full_like(weights_NK, 1 / weights_NK.shape[1])


def applied(change: Change, weights: Sequence[float]) -> list[float]:
    """Apply a change to the weights of one image."""
    return change(torch.tensor([weights], dtype=torch.float64))[0].tolist()


def with_weight(weights: Sequence[float], expert: int, weight: float) -> list[float]:
    """Set one expert's weight. The others keep their proportions, or share the rest equally, so that the sum is 1."""
    others = applied(ablated(expert), weights)
    scale = (1 - weight) / (sum(others) or 1)
    return [weight if k == expert else other * scale for k, other in enumerate(others)]


def to_text(changed: Mapping[int, Sequence[float]]) -> str:
    """Format weights by block (from 1) for a URL: "2:0.5,0.3,0.2;5:1,0,0"."""
    return ";".join(f"{block}:{','.join(f'{w:.4g}' for w in weights)}" for block, weights in sorted(changed.items()))


def from_text(text: str, blocks: Collection[int], experts: int) -> dict[int, list[float]]:
    """Parse the output of `to_text`, skipping parts that do not fit a network with that many experts in these blocks."""
    found = {}
    for part in text.split(";"):
        block, _, numbers = part.partition(":")
        try:
            weights = [float(number) for number in numbers.split(",")]
            fits = len(weights) == experts and min(weights) >= 0 and abs(sum(weights) - 1) < 0.01
            if fits and int(block) in blocks:
                found[int(block)] = weights
        except ValueError:
            continue
    return found
