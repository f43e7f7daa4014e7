"""Whether the device computes what a CPU computes in float64."""

import copy
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.ceiling import FULL_SIZE
from benchmarks.gpu.bench import Bench, Figures
from expertnet.network.evaluation import full_precision
from expertnet.network.model import ExpertNet
from expertnet.settings.schema import Settings
from expertnet.training.optim import make_optimizers
from expertnet.training.recorder import WARM_UP
from expertnet.training.trainer import Trainer
from expertnet.training.updater import Updater

CLASSES = 10
# The largest relative error of each way. Muon iterates in bfloat16 on a GPU; AdamW's step does not.
LIMITS = {
    "float64": {"logits": 1e-9, "loss": 1e-9, "gradients": 1e-9, "step": 1e-6},
    "float32": {"logits": 1e-3, "loss": 1e-4, "gradients": 3e-2},
    "float32, compiled": {"logits": 1e-3, "loss": 1e-4, "gradients": 3e-2},
    "bfloat16": {"logits": 0.1, "loss": 0.05, "gradients": 0.5},
}
MUON_LIMIT = 0.1
# A learning rate that stood still would differ by 1.
RECORDING_LIMIT = 0.1


class WrongError(Exception):
    """The device computes something else. Nothing is worth measuring then."""


def check(bench: Bench, settings: Settings) -> Figures:
    """Return the relative errors of a training step by way and tensor. Raises WrongError if one is above its limit."""
    torch.manual_seed(0)
    reference = ExpertNet(settings.model, CLASSES)
    size, count = settings.data.image_size, 8
    images, labels = torch.randn(count, 3, size, size, dtype=torch.float64), torch.arange(count) % CLASSES
    expected = step(copy.deepcopy(reference).double(), settings, images, labels)
    errors: Figures = {}
    for way, limits in LIMITS.items():
        dtype = torch.float64 if way == "float64" else torch.float32
        network = copy.deepcopy(reference).to(bench.device, dtype).to(memory_format=torch.channels_last)
        forward = bench.compiled(network) if "compiled" in way else None
        inputs = images.to(bench.device, dtype).contiguous(memory_format=torch.channels_last)
        found = step(network, settings, inputs, labels.to(bench.device), forward, way == "bfloat16")
        errors[way] = {name: relative(found[name], expected[name]) for name in limits}
    muon = settings.training.optimizer.startswith("muon")
    limits_of_step = LIMITS | {"float64": LIMITS["float64"] | ({"step": MUON_LIMIT} if muon else {})}
    wrong = [
        f"{way}: the {name} differ by {errors[way][name]:.2g}, the limit is {limit:g}"
        for way, limits in limits_of_step.items()
        for name, limit in limits.items()
        if not errors[way][name] <= limit  # NaN is wrong too
    ]
    if wrong:
        raise WrongError("\n".join(wrong))
    return errors


def step(
    network: ExpertNet,
    settings: Settings,
    images: Tensor,
    labels: Tensor,
    forward: Callable[..., Any] | None = None,
    lower: bool = False,
) -> dict[str, Tensor]:
    """Take one training step. Returns the logits, the loss, the gradients and the change of the weights, as float64 on the CPU."""
    device = images.device
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    before = [weight.detach().clone() for weight in weights]
    optimizers = make_optimizers(network.train(), settings.training, len(images))
    with full_precision(device), torch.autocast(device.type, torch.bfloat16, enabled=lower):
        logits = (network if forward is None else forward)(images)
    with full_precision(device):
        loss = F.cross_entropy(logits if images.dtype == torch.float64 else logits.float(), labels)
        loss.backward()
    for optimizer in optimizers:
        optimizer.step()
    return {
        "logits": _joined([logits]),
        "loss": _joined([loss]),
        "gradients": _joined([weight.grad for weight in weights if weight.grad is not None]),
        "step": _joined([weight - old for weight, old in zip(weights, before, strict=True)]),
    }


def recording_settings(bench: Bench, preset: str) -> Settings:
    """Return the settings of check_recording. Images of one size share a recording."""
    return bench.settings(preset, {"hardware.precision": "fp32", "hardware.compile": "off"} | FULL_SIZE)


def check_recording(bench: Bench, settings: Settings) -> Figures:
    """Return the relative error of the change of the weights in a recorded step, to the same step without its recording."""
    return {"recorded": {"step": recording_error(Trainer(settings, bench.dataset, log=_fail))}}


def recording_error(trainer: Trainer) -> float:
    """Take a step with a trainer's recorder and without it, and return the relative error of the change of the weights.

    The learning rate is another one than when the step was recorded. Raises WrongError if the error is above its limit, or if
    the step was taken without a recording.
    """
    updater, model, device = trainer.updater, trainer.model.train(), trainer.device
    order = torch.randperm(len(trainer.train), generator=trainer.generator).to(device)

    def take(number: int, done: float) -> Tensor:
        before = _joined(list(model.parameters()))
        with full_precision(device):
            updater.step(order[number * trainer.batch_size : (number + 1) * trainer.batch_size], epoch=1, done=done)
        return _joined(list(model.parameters())) - before

    for number in range(WARM_UP + 1):  # the last of these is recorded
        take(number, done=0.0)
    saved, generator = [value.clone() for value in _values(updater)], trainer.generator.get_state()
    found = take(WARM_UP + 1, done=0.5)
    if updater.recorder is None or updater.recorder.taken.total() != WARM_UP:
        raise WrongError("recorded: the steps after the warm-up were taken without a recording")
    for value, old in zip(_values(updater), saved, strict=True):
        value.copy_(old)
    trainer.generator.set_state(generator)
    updater.recorder = None
    error = relative(found, take(WARM_UP + 1, done=0.5))
    if not error <= RECORDING_LIMIT:
        raise WrongError(
            f"recorded: the changes of the weights differ by {error:.2g}, the limit is {RECORDING_LIMIT:g}"
        )
    return error


def _values(updater: Updater) -> list[Tensor]:
    """Return all that a step changes."""
    states = [state for optimizer in updater.optimizers for state in optimizer.state.values()]
    kept = [value for state in states for value in state.values() if isinstance(value, Tensor)]
    return [*(value.data for value in updater.model.parameters()), *updater.model.buffers(), *kept]


def _fail(sentence: str) -> None:
    """Do not compare steps that could not be recorded."""
    raise WrongError(sentence)


def _joined(tensors: list[Tensor]) -> Tensor:
    return torch.cat([tensor.detach().cpu().double().flatten() for tensor in tensors])


def relative(found: Tensor, expected: Tensor) -> float:
    """Return the norm of the difference over the norm of what is expected."""
    return ((found - expected).norm() / expected.norm()).item()
