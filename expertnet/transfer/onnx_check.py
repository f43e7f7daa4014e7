"""Compare an ONNX graph with the network that it was made from, in onnxruntime.

Shapes: N images, C classes, B blocks, K experts, F features.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from expertnet.errors import RunError
from expertnet.inference.predictor import Predictor
from expertnet.transfer.onnx_graph import FEATURES, IMAGES, OUTPUTS

SIZES = (1, 3, 64)  # images in a batch; exporters have fixed the size of a batch, or taken one image for a special case
TOLERANCE = 1e-4
AXES = {"probabilities": ("image", "class"), "routing": ("image", "block", "expert"), FEATURES: ("image", "feature")}


def open_session(content: bytes, threads: int = 0) -> Any:
    """Return an onnxruntime session on the CPU with so many threads, or as many as there are cores."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def outputs(session: Any, images_N3SS: Tensor) -> tuple[np.ndarray, ...]:
    """Return probabilities (N, C), routing weights (N, B, K) and, if the graph has them, features (N, F)."""
    return tuple(session.run(None, {IMAGES: images_N3SS.numpy()}))


def check(content: bytes, predictor: Predictor, images_N3SS: Tensor) -> float:
    """Return the largest difference of any output from PyTorch's, at all batch sizes in SIZES.

    Features count in units of the largest one, if that exceeds 1.

    Takes the first images of at least 64. Raises RunError, which says by how much and where, if it exceeds TOLERANCE.
    """
    session, largest = open_session(content), 0.0
    for size in SIZES:
        batch = images_N3SS[:size].contiguous()
        assert len(batch) == size
        found = outputs(session, batch)
        expected = predictor.look(batch) if len(found) > len(OUTPUTS) else predictor(batch)
        for name, expect, find in zip((*OUTPUTS, FEATURES), expected, found, strict=False):
            largest = max(largest, _difference(name, size, expect.numpy(), find))
    return largest


def _difference(name: str, size: int, expected: np.ndarray, found: np.ndarray) -> float:
    """Return the largest difference of an output. Raises RunError if it is too large or not a number."""
    if found.shape != expected.shape:
        raise _refusal(name, size, f"have the shape {found.shape} instead of {expected.shape}")
    differences = np.abs(found - expected) / max(float(np.abs(expected).max()), 1)
    if not np.isfinite(differences).all():
        raise _refusal(name, size, "are not finite numbers")
    place = np.unravel_index(differences.argmax(), differences.shape)
    if differences[place] > TOLERANCE:
        where = ", ".join(f"{axis} {int(index) + 1}" for axis, index in zip(AXES[name], place, strict=True))
        raise _refusal(
            name, size, f"differ from PyTorch's by {differences[place]:.2g} ({where}), where {TOLERANCE} is allowed"
        )
    return float(differences[place])


def _refusal(name: str, size: int, what: str) -> RunError:
    noun = {"routing": "routing weights"}.get(name, name)
    return RunError(
        f"Nothing was exported, because the check of the ONNX network failed: in a batch of {size}, its {noun} {what}. "
        "Export it as safetensors, or try other versions of torch, onnxscript and onnxruntime."
    )


def drawn(count: int, size: int, seed: int = 0) -> Tensor:
    """Return random images (count, 3, size, size) uint8 with shapes of all scales, for networks whose images are not here."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.zeros(count, 3, size, size)
    for scale in _scales(size):
        noise = torch.rand(count, 3, scale, scale, generator=generator)
        images += torch.nn.functional.interpolate(noise, (size, size), mode="bilinear")
    images -= images.amin((1, 2, 3), keepdim=True)
    return (images / images.amax((1, 2, 3), keepdim=True).clamp_min(1e-6) * 255).round().to(torch.uint8)


def _scales(size: int) -> Sequence[int]:
    return [scale for scale in (2, 4, 8, size) if scale <= size]
