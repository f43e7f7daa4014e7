"""The fastest that a machine runs a network's convolutions: a training step in which everything else takes no time.

Records the convolutions of a training step, forward and backward, and calls them directly, with random numbers, in the same
shapes, number format and memory format. ATen computes them by oneDNN on a CPU and by cuDNN on an NVIDIA GPU.
Shapes: N images, C channels in, D channels out, H x W pixels.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from expertnet.network.model import ExpertNet
from expertnet.settings.schema import Settings
from expertnet.utils.devices import resolve_precision

# Every speed is for steps at the full image size. The operations per image and the ceiling are those of this size.
FULL_SIZE: dict[str, Any] = {"data.resolutions": ()}

FORWARD, BACKWARD = torch.ops.aten.convolution.default, torch.ops.aten.convolution_backward.default


@dataclass(frozen=True)
class Convolution:
    """A forward pass, or the backward passes of one."""

    shape_in: tuple[int, ...]  # (C, H, W)
    shape_out: tuple[int, ...]  # (D, H, W)
    kernel: tuple[int, ...]  # (D, C, h, w)
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dtype: torch.dtype
    gradients: tuple[bool, bool] | None = None  # of the input and the kernel; None for a forward pass

    @property
    def multiply_adds(self) -> int:
        """Per image. Each gradient takes as many as the forward pass."""
        return prod(self.kernel) * prod(self.shape_out[1:]) * (1 if self.gradients is None else sum(self.gradients))


class _Recorder(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[Convolution] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if func is FORWARD:
            x, kernel, _, stride, padding = args[:5]
            self._add(x, result, kernel, stride, padding, None)
        elif func is BACKWARD:
            gradient, x, kernel, _, stride, padding = args[:6]
            to_input, to_kernel, _ = args[10]  # the gradient of a bias is a sum
            if to_input or to_kernel:
                self._add(x, gradient, kernel, stride, padding, (to_input, to_kernel))
        return result

    def _add(self, x: Tensor, y: Tensor, kernel: Tensor, stride: Any, padding: Any, gradients: Any) -> None:
        shapes = (tuple(x.shape[1:]), tuple(y.shape[1:]), tuple(kernel.shape))
        self.found.append(Convolution(*shapes, tuple(stride), tuple(padding), x.dtype, gradients))


def recorded(model: nn.Module, image_size: int, dtype: torch.dtype = torch.float32) -> list[Convolution]:
    """Return the convolutions of a training step on RGB images, in the order they are called on the model's device."""
    device = next(model.parameters()).device
    images = torch.randn(2, 3, image_size, image_size, device=device)
    with _Recorder() as recorder:
        with torch.autocast(device.type, torch.bfloat16, enabled=dtype == torch.bfloat16):
            outputs = model.train()(images)
        outputs.float().sum().backward()
    return recorder.found


def convolutions_of(settings: Settings, device: torch.device) -> list[Convolution]:
    """Return the convolutions of a training step of an ExpertNet for ten classes."""
    dtype = resolve_precision(settings.hardware.precision, device)
    return recorded(ExpertNet(settings.model, 10).to(device), settings.data.image_size, dtype)


def multiply_adds(found: list[Convolution]) -> int:
    """Return the multiply-adds of convolutions per image."""
    return sum(each.multiply_adds for each in found)


def caller(
    found: list[Convolution], batch: int, device: torch.device, memory_format: torch.memory_format
) -> Callable[[], None]:
    """Return a function that calls the convolutions once, on random batches that it shares among equal shapes."""
    made: dict[tuple[Any, ...], Tensor] = {}

    def drawn(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        if (shape, dtype) not in made:
            values = torch.randn(shape, device=device, dtype=dtype)
            made[shape, dtype] = values.contiguous(memory_format=memory_format)
        return made[shape, dtype]

    def call() -> None:
        for each in found:
            x, y = drawn((batch, *each.shape_in), each.dtype), drawn((batch, *each.shape_out), each.dtype)
            kernel, rest = drawn(each.kernel, each.dtype), (each.stride, each.padding, (1, 1), False, (0, 0), 1)
            if each.gradients is None:
                FORWARD(x, kernel, None, *rest)
            else:
                BACKWARD(y, x, kernel, None, *rest, (*each.gradients, False))

    return call


def convolutions(settings: Settings, device: torch.device) -> Iterator[None]:
    """Run the convolutions of training steps endlessly, and yield after each step."""
    layout = torch.channels_last if settings.hardware.channels_last else torch.contiguous_format
    call = caller(convolutions_of(settings, device), settings.training.batch_size, device, layout)
    while True:
        call()
        yield None
