"""When a network is compiled, and with which options."""

from collections.abc import Callable, Mapping
from typing import Any

import torch

from expertnet.network.cost import estimate
from expertnet.settings.schema import Settings

MIN_STEPS_TO_COMPILE = 2000  # on a GPU; fewer do not save the time that compiling takes
# Of all forward passes with images of the full size, on a CPU with bf16. `report` is above it and becomes 1.14 (AVX512-BF16) to 1.64
# (AMX) times as fast. `fast` is below it and becomes 6% slower (docs/benchmarks.md).
MIN_MULTIPLY_ADDS_TO_COMPILE = 2e14
# By default, the compiler cuts a long expression in two and writes the first half to memory, such as the gradient of a block of
# experts, the largest tensor of a step. A GPU's memory limits a step.
FUSE_LONG_EXPRESSIONS = {
    "realize_opcount_threshold": 200,
    "realize_acc_reads_threshold": 64,
    "realize_reads_threshold": 16,
}


def is_worth_compiling(
    settings: Settings, device: torch.device, dtype: torch.dtype, steps: int, batch_size: int, num_classes: int
) -> bool:
    """Return whether to compile, which takes some minutes on a busy CPU. `steps` are those of an epoch.

    Images of several sizes are compiled twice: for the first one, and then for any. Several processes compile only if a user
    asks for it, since their training ends if that fails.
    """
    if settings.hardware.compile != "auto" or settings.hardware.processes > 1:
        return settings.hardware.compile == "on"
    steps *= settings.training.epochs
    if device.type == "cpu" and dtype == torch.bfloat16:
        multiply_adds = estimate(settings, num_classes).multiply_adds
        return multiply_adds * steps * batch_size >= MIN_MULTIPLY_ADDS_TO_COMPILE
    return device.type == "cuda" and steps >= MIN_STEPS_TO_COMPILE


def compiled(
    network: Callable[..., Any], device: torch.device, more: Mapping[str, Any] | None = None
) -> Callable[..., Any]:
    """Return a compiled network. On a GPU, cuDNN also tries all its kernels for each size of images, which takes ten seconds.

    `more` are further options of the compiler. Those that this version of it does not have are left out.
    """
    if device.type != "cuda":
        return torch.compile(network, options=dict(more or {}))
    from torch import _inductor  # loading it takes a second

    try_all_kernels(True)
    known = _inductor.list_options()
    options = {**FUSE_LONG_EXPRESSIONS, **(more or {})}
    return torch.compile(network, options={name: value for name, value in options.items() if name in known})


def try_all_kernels(tries: bool) -> None:
    """Have cuDNN choose each convolution's kernel by trying all that it has, or by rules, which are wrong for the report's network:
    its convolutions then take 1.4 times as long. Both hold for the whole program.
    """
    torch.backends.cudnn.benchmark, torch.backends.cudnn.benchmark_limit = tries, 0 if tries else 10
