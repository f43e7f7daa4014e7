"""Muon: momentum with orthogonalized steps, for convolution kernels (Jordan 2024, kellerjordan.github.io/posts/muon)."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from expertnet.utils.devices import resolve_precision


class Muon(torch.optim.Optimizer):
    """Updates each expert's kernel by an orthogonal matrix.

    A group's "matrices" is the number K of kernels in each of its parameters (K*D, C, 3, 3); each kernel is a matrix
    (D, C*3*3). torch.optim.Muon accepts only single matrices. All kernels of one shape are orthogonalized in one call.

    Steps are scaled to the size of AdamW's, so that both use the same learning rates, and weight decay is decoupled
    (Liu 2025, arXiv:2502.16982). With `keeps_norm`, each kernel instead has the norm sqrt(D) before a step of its learning rate
    times the orthogonal matrix, without decay, and three iterations in bfloat16 are enough (Jordan 2024, airbench94_muon).
    """

    def __init__(
        self,
        groups: Iterable[dict[str, Any]],
        lr: float,
        momentum: float,
        weight_decay: float,
        keeps_norm: bool = False,
    ) -> None:
        super().__init__(groups, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "matrices": 1})
        self.keeps_norm = keeps_norm

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        assert closure is None
        alike: dict[tuple[int, ...], list[tuple[dict[str, Any], Tensor, Tensor]]] = {}
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    ahead_KDS = self._ahead(weight, group)
                    alike.setdefault(tuple(ahead_KDS.shape[1:]), []).append((group, weight, ahead_KDS))
        for members in alike.values():
            stacked = torch.cat([ahead for *_, ahead in members])
            updates = self._orthogonalized(stacked).split([len(ahead) for *_, ahead in members])
            for (group, weight, ahead_KDS), update in zip(members, updates, strict=True):
                self._apply(weight, update, group, ahead_KDS.shape[1:])

    def _ahead(self, weight: Tensor, group: dict[str, Any]) -> Tensor:
        """Update the momentum, and return Nesterov's direction as matrices (K, D, S)."""
        state = self.state[weight]
        if not state:
            state["momentum"] = torch.zeros_like(weight)
        gradient = weight.grad
        assert gradient is not None
        average = state["momentum"].lerp_(gradient, 1 - group["momentum"])
        return gradient.lerp(average, group["momentum"]).reshape(group["matrices"], -1, weight[0].numel())

    def _orthogonalized(self, matrices_KDS: Tensor) -> Tensor:
        if not self.keeps_norm:
            return orthogonalize(matrices_KDS)
        return orthogonalize(matrices_KDS, 3, resolve_precision("auto", matrices_KDS.device))

    def _apply(self, weight: Tensor, update_KDS: Tensor, group: dict[str, Any], shape: torch.Size) -> None:
        update = update_KDS.reshape(weight.shape)
        if self.keeps_norm:
            kernels = weight.unflatten(0, (group["matrices"], -1))
            norms = torch.linalg.vector_norm(kernels, dim=(1, 2, 3, 4), keepdim=True)
            kernels.mul_(shape[0] ** 0.5 / norms)
            size = 1.0
        else:
            size = 0.2 * max(shape) ** 0.5
            weight.mul_(1 - group["lr"] * group["weight_decay"])
        if isinstance(group["lr"], Tensor):  # on a GPU, where a recorded step reads it again
            weight.sub_(update * (group["lr"] * size))
        else:
            weight.sub_(update, alpha=group["lr"] * size)


def orthogonalize(matrices_KRC: Tensor, steps: int = 5, dtype: torch.dtype | None = None) -> Tensor:
    """Return approximately the nearest orthogonal matrix of each: singular values end between 0.7 and 1.2.

    Uses Newton-Schulz iteration with Jordan's quintic coefficients, in `dtype` (default: bfloat16 on CUDA, else float32).
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = matrices_KRC.shape[1] > matrices_KRC.shape[2]
    x = matrices_KRC.mT if tall else matrices_KRC
    x = x.to(dtype or (torch.bfloat16 if x.is_cuda else torch.float32))
    x = x / (x.flatten(1).norm(dim=1)[:, None, None] + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x.mT if tall else x).to(matrices_KRC.dtype)
