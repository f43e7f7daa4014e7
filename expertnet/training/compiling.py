"""When a network is compiled, and with which options."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from expertnet.network.cost import estimate
from expertnet.settings.schema import Settings

MIN_STEPS_TO_COMPILE = 2000  # on a GPU; fewer do not save the time that compiling takes
# Of all forward passes with images of the full size, on a CPU. `report` and `max` are above it and become 1.10 (`report`, AVX2) to
# 1.64 (`report`, AMX) times as fast. `fast` is below it and becomes up to 6% slower (docs/benchmarks.md).
MIN_MULTIPLY_ADDS_TO_COMPILE = 2e14
# By default, the compiler cuts a long expression in two and writes the first half to memory, such as the gradient of a block of
# experts, the largest tensor of a step. A GPU's memory limits a step.
FUSE_LONG_EXPRESSIONS = {
    "realize_opcount_threshold": 200,
    "realize_acc_reads_threshold": 64,
    "realize_reads_threshold": 16,
}


def is_worth_compiling(settings: Settings, device: torch.device, steps: int, batch_size: int, num_classes: int) -> bool:
    """Return whether to compile, which takes some minutes on a busy CPU. `steps` are those of an epoch.

    Images of several sizes are compiled twice: for the first one, and then for any. Several processes compile only if a user
    asks for it, since their training ends if that fails.
    """
    if settings.hardware.compile != "auto" or settings.hardware.processes > 1:
        return settings.hardware.compile == "on"
    steps *= settings.training.epochs
    if device.type == "cpu":
        multiply_adds = estimate(settings, num_classes).multiply_adds * settings.training.hardest_share
        return multiply_adds * steps * batch_size >= MIN_MULTIPLY_ADDS_TO_COMPILE
    return device.type == "cuda" and steps >= MIN_STEPS_TO_COMPILE


def compiled(
    network: Callable[..., Any], device: torch.device, more: Mapping[str, Any] | None = None
) -> Callable[..., Any]:
    """Return a compiled network. `more` are further options of the compiler."""
    options = dict(more or {})
    if device.type == "cuda":
        from torch import _inductor  # loading it takes a second

        known = _inductor.list_options()  # other versions may not have all of them
        options |= {name: limit for name, limit in FUSE_LONG_EXPRESSIONS.items() if name in known}
    return torch.compile(network, options=options)


@contextmanager
def all_kernels(tries: bool) -> Iterator[None]:
    """Have cuDNN choose each convolution's kernel by trying all that it has, if `tries`.

    Its rules choose badly for the report's network, whose convolutions then take 1.4 times as long. Trying takes ten seconds for
    each size of images, so only long trainings do it. The choice holds for the whole program, but other threads, whose sizes are
    seldom the same, see it for the time of a step at most.
    """
    cudnn = torch.backends.cudnn
    if not tries:
        yield
        return
    cudnn.benchmark, cudnn.benchmark_limit = True, 0
    try:
        yield
    finally:  # not as it was before, which another thread may have set for a moment
        cudnn.benchmark, cudnn.benchmark_limit = False, 10
