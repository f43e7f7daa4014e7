"""Compare an ONNX graph with the network that it was made from, in onnxruntime.

Shapes: N images, C classes, B blocks, K experts, F features.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from expertnet.errors import RunError
from expertnet.inference.predictor import Predictor
from expertnet.transfer.onnx_graph import FEATURES, IMAGES
from expertnet.utils.text import percent

SIZES = (1, 3, 64)  # images in a batch; exporters have fixed the size of a batch, or taken one image for a special case
AXES = {"probabilities": ("image", "class"), "routing": ("image", "block", "expert"), FEATURES: ("image", "feature")}


@dataclass(frozen=True)
class Tolerance:
    """By how much a graph's outputs may differ from PyTorch's, and what users can do if they differ by more."""

    difference: float
    share: float = (
        1.0  # of the images that must keep to it; rounding can move a few across the border between two answers
    )
    advice: str = "Export it as safetensors, or try other versions of torch, onnxscript and onnxruntime."


EXACT = Tolerance(1e-4)


def open_session(content: bytes, threads: int = 0) -> Any:
    """Return an onnxruntime session on the CPU with so many threads, or as many as there are cores."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def outputs(session: Any, images_N3SS: Tensor) -> tuple[np.ndarray, ...]:
    """Return probabilities (N, C), routing weights (N, B, K) and, if the graph has them, features (N, F)."""
    return tuple(session.run(None, {IMAGES: images_N3SS.numpy()}))


def check(content: bytes, predictor: Predictor, images_N3SS: Tensor, tolerance: Tolerance = EXACT) -> float:
    """Return the largest difference of any output from PyTorch's, for the first 64 images in batches of each of SIZES.

    Features count in units of the largest one, if that exceeds 1.

    Raises RunError, which says by how much and where, if the outputs have another shape, are not finite or differ by more than the
    tolerance.
    """
    session, largest = open_session(content), 0.0
    images_N3SS = images_N3SS[: max(SIZES)].contiguous()
    assert len(images_N3SS) == max(SIZES)
    names = [output.name for output in session.get_outputs()]
    answers = predictor.look(images_N3SS) if FEATURES in names else predictor(images_N3SS)
    for size in SIZES:
        batches = [batch for batch in images_N3SS.split(size) if len(batch) == size]
        found = [np.concatenate(each) for each in zip(*(outputs(session, batch) for batch in batches), strict=True)]
        for name, answer, ours in zip(names, answers, found, strict=True):
            expected = answer[: size * len(batches)].numpy()
            largest = max(largest, _difference(name, size, expected, ours, tolerance))
    return largest


def _difference(name: str, size: int, expected: np.ndarray, found: np.ndarray, tolerance: Tolerance) -> float:
    """Return the largest difference of an output in batches of a size. Raises RunError if the output must not be used."""
    if found.shape != expected.shape:
        what = f"have the shape {found.shape} for {len(expected)} images instead of {expected.shape}"
        raise _refusal(name, size, what, tolerance)
    differences = np.abs(found - expected) / max(float(np.abs(expected).max()), 1)
    wrong = ~np.isfinite(differences)
    if wrong.any():
        what = f"are not finite numbers ({percent(float(wrong.mean()))} of them, first at {_place(name, wrong)})"
        raise _refusal(name, size, what, tolerance)
    worst_N = differences.reshape(len(differences), -1).max(1)
    if np.quantile(worst_N, tolerance.share, method="higher") > tolerance.difference:
        share = f"{percent(float((worst_N > tolerance.difference).mean()))} of the images differ by more than {tolerance.difference:g}"
        what = f"differ from PyTorch's by up to {worst_N.max():.2g} ({_place(name, differences)}), and {share}"
        raise _refusal(name, size, what, tolerance)
    return float(worst_N.max())


def _place(name: str, values: np.ndarray) -> str:
    """Say where the largest value of an output is."""
    place = np.unravel_index(values.argmax(), values.shape)
    return ", ".join(f"{axis} {int(index) + 1}" for axis, index in zip(AXES[name], place, strict=True))


def _refusal(name: str, size: int, what: str, tolerance: Tolerance) -> RunError:
    noun = {"routing": "routing weights"}.get(name, name)
    return RunError(
        f"Nothing was exported, because the check of the ONNX network failed: in batches of {size}, its {noun} {what}. "
        f"{tolerance.advice}"
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
