"""Optimizers, and the schedules of the learning rate and the router temperature."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from expertnet.network.mixing import Experts
from expertnet.settings.schema import TrainingSettings
from expertnet.training.muon import Muon

STEM_EPOCHS = 3  # in which the bias of a whitened stem learns


def group_rate(training: TrainingSettings, group: dict[str, Any], done: float) -> float:
    """Return the learning rate of an optimizer's group after the share `done` of all steps."""
    learning = min(group.get("epochs", training.epochs) / training.epochs, 1.0)  # the share of all steps
    return learning_rate(training, min(done / learning, 1.0)) * group.get("lr_share", 1.0)


def set_rate(group: dict[str, Any], rate: float, device: torch.device | None = None) -> None:
    """Set the learning rate of a group; on a device, in place, so that a recorded step finds it."""
    if device is None:
        group["lr"] = rate
    elif isinstance(group["lr"], Tensor):
        group["lr"].fill_(rate)
    else:
        group["lr"] = torch.tensor(rate, device=device)


def complete_momentum(optimizer: torch.optim.Optimizer) -> None:
    """Give weights of fused SGD that have not learned yet the momentum zero, because it needs one for all of a group or for none."""
    if isinstance(optimizer, torch.optim.SGD):
        for group in optimizer.param_groups:
            for weight in group["params"] if group["momentum"] else ():
                optimizer.state[weight].setdefault("momentum_buffer", torch.zeros_like(weight))


def saved_state(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Return the state of an optimizer as if its steps were not recorded."""
    state = optimizer.state_dict()
    for group in state["param_groups"]:
        group["lr"] = float(group["lr"])
        if "capturable" in group:
            group["capturable"] = False
    return state


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


def matrices_in(model: nn.Module, name: str) -> int:
    """Return the number of expert kernels in a convolution: K in a block, else 1."""
    owner = model.get_submodule(name.rpartition(".")[0])
    return owner.num_experts if isinstance(owner, Experts) else 1


def make_optimizers(model: nn.Module, training: TrainingSettings, batch_size: int) -> list[torch.optim.Optimizer]:
    """Return optimizers that together update all parameters.

    Before each step, set "lr" of each group to its `group_rate`. A group with "epochs" learns only in these. The groups do not
    depend on `training.epochs`, which a resumed run may raise. Weights that do not learn are left out. `batch_size` is that of
    a step.
    """
    shared: dict[str, Any] = {"lr": training.lr, "weight_decay": training.weight_decay}
    left = {name: value for name, value in model.named_parameters() if value.requires_grad}
    made: list[torch.optim.Optimizer] = []
    keeps_norm = training.optimizer == "muon_sgd"
    if training.optimizer in ("muon", "muon_sgd"):
        kernels = [
            {"params": [left.pop(f"{name}.weight")], "matrices": matrices_in(model, name), "lr_share": 1.0}
            for name, module in model.named_modules()
            if isinstance(module, nn.Conv2d)
            and (module.in_channels > 3 or (keeps_norm and module.weight.requires_grad))
        ]
        if kernels:  # a network of three channels has none
            made.append(Muon(kernels, momentum=training.momentum, keeps_norm=keeps_norm, **shared))
    # The gradient is that of the mean loss, and the rate of SGD beside Muon that of its sum.
    rest = training.sgd_lr * batch_size / training.lr if keeps_norm else 1.0
    norms = {f"{name}.bias" for name, module in model.named_modules() if isinstance(module, nn.BatchNorm2d)}
    groups: dict[tuple[float, bool, bool], dict[str, Any]] = {}
    for name, value in left.items():
        is_stem = name == "stem.conv.bias"
        routes = ".branch." in name or ".gate." in name
        biases = is_stem or name in norms
        spared = not training.decay_all and (value.ndim < 2 or routes)
        share = rest * (training.router_lr_share if routes else training.bias_lr_share if biases else 1.0)
        group: dict[str, Any] = {"params": [], "lr_share": share}
        if is_stem:
            group["epochs"] = STEM_EPOCHS
        if spared:
            group["weight_decay"] = 0.0
        elif keeps_norm:
            group["weight_decay"] = training.weight_decay / (training.lr * share)
        groups.setdefault((share, is_stem, spared), group)["params"].append(value)
    if training.optimizer in ("sgd", "muon_sgd"):
        momentum = training.sgd_momentum if keeps_norm else training.momentum
        made.append(torch.optim.SGD(groups.values(), momentum=momentum, nesterov=momentum > 0, fused=True, **shared))
    else:
        made.append(torch.optim.AdamW(groups.values(), fused=True, **shared))
    return made
