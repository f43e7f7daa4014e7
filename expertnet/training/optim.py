"""Optimizers, and the schedules of the learning rate and the router temperature."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from expertnet.network.model import ExpertConvs
from expertnet.settings.schema import TrainingSettings


def learning_rate(training: TrainingSettings, done: float) -> float:
    """Return the learning rate after the share `done` (0 to 1) of all steps.

    It rises linearly over the warm-up share. Then it falls by cosine annealing (Loshchilov 2017, arXiv:1608.03983), or
    linearly for one-cycle (Smith 2018, arXiv:1708.07120).
    """
    warmup = training.warmup_share
    if done < warmup:
        return training.lr * done / warmup
    fall = (done - warmup) / (1 - warmup)
    return training.lr * ((1 - fall) if training.schedule == "one_cycle" else (1 + math.cos(math.pi * fall)) / 2)


def temperature(training: TrainingSettings, done: float) -> float:
    """Return the router temperature after the share `done` of all steps: a linear fall to 1 (Chen 2020, arXiv:1912.03458)."""
    return max(training.temperature + (1 - training.temperature) * done / training.temperature_share, 1.0)


class Muon(torch.optim.Optimizer):
    """Momentum with orthogonalized steps (Jordan 2024, kellerjordan.github.io/posts/muon), separately for each expert's kernel.

    Steps are scaled to the size of AdamW's, so that both use the same learning rates, and weight decay is decoupled
    (Liu 2025, arXiv:2502.16982). A group's "matrices" is the number K of kernels in each of its parameters
    (K*D, C, 3, 3); each kernel is a matrix (D, C*3*3). torch.optim.Muon accepts only single matrices.
    """

    def __init__(self, groups: Iterable[dict[str, Any]], lr: float, momentum: float, weight_decay: float) -> None:
        super().__init__(groups, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "matrices": 1})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        assert closure is None
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                if not state:
                    state["momentum"] = torch.zeros_like(weight)
                average = state["momentum"].lerp_(weight.grad, 1 - group["momentum"])
                ahead = weight.grad.lerp(average, group["momentum"])  # Nesterov's
                matrices_KDS = ahead.reshape(group["matrices"], -1, weight[0].numel())
                size = 0.2 * max(matrices_KDS.shape[1:]) ** 0.5
                update = orthogonalize(matrices_KDS).view(weight.shape)
                weight.mul_(1 - group["lr"] * group["weight_decay"]).sub_(update, alpha=group["lr"] * size)


def orthogonalize(matrices_KRC: Tensor, steps: int = 5) -> Tensor:
    """Return approximately the nearest orthogonal matrix of each: singular values end between 0.7 and 1.2.

    Uses Newton-Schulz iteration with Jordan's quintic coefficients.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = matrices_KRC.shape[1] > matrices_KRC.shape[2]
    x = matrices_KRC.mT if tall else matrices_KRC
    x = x.bfloat16() if x.is_cuda else x.float()
    x = x / (x.flatten(1).norm(dim=1)[:, None, None] + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x.mT if tall else x).to(matrices_KRC.dtype)


def matrices_in(model: nn.Module, name: str) -> int:
    """Return the number of expert kernels in a convolution: K in a block, else 1."""
    owner = model.get_submodule(name.rpartition(".")[0])
    return owner.num_experts if isinstance(owner, ExpertConvs) else 1


def make_optimizers(model: nn.Module, training: TrainingSettings) -> list[torch.optim.Optimizer]:
    """Return optimizers that together update all parameters.

    Before each step, set "lr" of each group to the learning rate times the group's "lr_share".
    """
    shared: dict[str, Any] = {"lr": training.lr, "weight_decay": training.weight_decay}
    left = dict(model.named_parameters())
    made: list[torch.optim.Optimizer] = []
    if training.optimizer == "muon":
        kernels = [
            {"params": [left.pop(f"{name}.weight")], "matrices": matrices_in(model, name), "lr_share": 1.0}
            for name, module in model.named_modules()
            if isinstance(module, nn.Conv2d) and module.in_channels > 3
        ]
        made.append(Muon(kernels, momentum=training.momentum, **shared))
    groups: dict[tuple[float, bool], dict[str, Any]] = {}
    for name, value in left.items():
        routes = ".branch." in name
        spared = not training.decay_all and (value.ndim < 2 or routes)
        share = training.router_lr_share if routes else 1.0
        group: dict[str, Any] = {"params": [], "lr_share": share}
        if spared:
            group["weight_decay"] = 0.0
        groups.setdefault((share, spared), group)["params"].append(value)
    if training.optimizer == "sgd":
        nesterov = training.momentum > 0
        made.append(
            torch.optim.SGD(groups.values(), momentum=training.momentum, nesterov=nesterov, fused=True, **shared)
        )
    else:
        made.append(torch.optim.AdamW(groups.values(), fused=True, **shared))
    return made
