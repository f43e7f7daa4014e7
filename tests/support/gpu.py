"""A GPU that is not there: its tensors have a shape and a device but no values, and mixing devices is an error.

A backward pass needs a real GPU even then, so gradients are zeros of the right kind.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

CUDA = torch.device("cuda", 0)
READS = (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.item.default)
COPIES = (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default, torch.ops.prims.device_put.default)


class Waits(TorchDispatchMode):
    """Records the operations that make the program wait for a GPU. What it reads from tensors is always 0.5, or 0."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        source = next((value for value in reversed(args) if isinstance(value, Tensor)), None)
        if func in READS:
            assert source is not None
            if source.is_cuda:
                self.found.append(str(func))
            return 0.5 if source.is_floating_point() else 0
        if func is torch.ops.aten.bincount.default:  # its length depends on values
            assert source is not None
            if source.is_cuda:
                self.found.append(str(func))
            return torch.ones(args[2], dtype=torch.int64, device=source.device)
        if func is torch.ops.aten._fused_sgd_.default:  # torch cannot tell its shapes
            weights, gradients, momenta = args[:3]
            assert all(each.is_cuda for each in (*weights, *gradients, *momenta))
            return None
        result = func(*args, **(kwargs or {}))
        if func in COPIES and source is not None and isinstance(result, Tensor) and source.device != result.device:
            # what leaves the CPU need not be waited for
            queued = result.is_cuda and ((kwargs or {}).get("non_blocking") or args[2:] == (True,))
            if not queued:
                self.found.append(f"{func}: {source.device} to {result.device}")
        return result

    def take(self) -> list[str]:
        """Return what was recorded since the last call."""
        found, self.found = self.found, []
        return found


def pretend(monkeypatch: Any) -> FakeTensorMode:
    """Let a test use a GPU inside the mode that this returns."""
    monkeypatch.setattr("torch.cuda.amp.common.amp_definitely_not_available", lambda: False)
    monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda *_, **__: True)
    return FakeTensorMode(allow_fallback_kernels=False, allow_non_fake_inputs=True)  # of the CPU, such as the images


def without_backward(monkeypatch: Any, model: Callable[[], nn.Module]) -> None:
    """Replace backward passes by gradients of zeros for the weights of a model."""

    def backward(loss: Tensor) -> None:
        assert loss.requires_grad and loss.is_cuda
        for weight in model().parameters():
            if weight.requires_grad:
                weight.grad = torch.zeros_like(weight)

    monkeypatch.setattr(Tensor, "backward", backward)
