"""What a run will cost, before it starts: parameters, multiply-adds, memory.

In this module: Estimate, estimate, refuse_if_too_large, and batch_size_text, which says what batch would fit. By formulas,
since torch's own counters take seconds to load and a second for a large network, at every change of the form; a test holds
the formulas to those counters.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from expertnet.errors import SettingsError
from expertnet.settings.schema import ModelSettings, Settings
from expertnet.utils.devices import available_memory, resolve_device, resolve_precision

RUNTIME_BYTES = 300 * 2**20  # what the process holds beside tensors, seen on a CPU


@dataclass(frozen=True)
class Stage:
    """A row of the architecture's sketch."""

    name: str
    channels: int
    size: int  # pixels, width and height of what comes out
    experts: int  # 0 where there are none


@dataclass(frozen=True)
class Estimate:
    parameters: int
    multiply_adds: int  # of one image, forward
    memory_bytes: int  # expected peak while training, the dataset apart
    image_bytes: int  # of which each image of a batch takes this much
    stages: tuple[Stage, ...]


def estimate(settings: Settings, num_classes: int) -> Estimate:
    """The cost of training with these settings."""
    try:
        device = resolve_device(settings.hardware.device)
    except SettingsError:
        device = torch.device("cpu")
    dtype = resolve_precision(settings.hardware.precision, device)
    training = settings.training
    parameters, multiply_adds, saved = _cost(settings.model, settings.data.image_size, num_classes, dtype)
    copies = 4 if training.optimizer == "adamw" else 3  # weights, gradients, moments; and those that are cast
    held = 4 * copies + (dtype.itemsize if dtype != torch.float32 else 0)
    images = 3 * settings.data.image_size**2 * 4 * 2  # augmented and normalised, float32
    memory = RUNTIME_BYTES + held * parameters + training.batch_size * (saved + images)
    return Estimate(parameters, multiply_adds, memory, saved + images, stages(settings, num_classes))


def _cost(model: ModelSettings, image_size: int, num_classes: int, dtype: torch.dtype) -> tuple[int, int, int]:
    """Parameters, multiply-adds of an image, and bytes that an image's forward pass keeps for the backward pass."""
    experts, number = model.num_experts, dtype.itemsize  # bytes of what the convolutions put out
    size, channels = image_size, model.block_widths[0]
    area = size**2
    parameters = 27 * channels + 2 * channels  # the stem: its kernel, its norm
    multiply_adds = 27 * channels * area
    saved = number * area * (3 + 2 * channels)  # the image, what the norm took, what the ReLU gave
    for block, width in enumerate(model.block_widths, 1):
        saved += number * area * channels * (block > 1)  # the block's input; the first one's is the stem's ReLU
        if model.routing == "learned":
            hidden = max(channels // model.reduction, 1)
            parameters += (channels + 1) * hidden + (hidden + 1) * experts
            multiply_adds += channels * hidden + hidden * experts
            saved += 4 * (channels + hidden + experts)
        parameters += experts * width * (9 * channels + 2)
        multiply_adds += 9 * channels * experts * width * area
        saved += number * experts * (2 * area * width + 1)  # what each norm took, what its ReLU gave, its weight
        channels = width
        if block in model.pool_after:
            saved += number * area * channels
            size //= 2
            area = size**2
            saved += 8 * area * channels  # which of the four was the largest
    return parameters + (channels + 1) * num_classes, multiply_adds + channels * num_classes, saved + number * channels


def stages(settings: Settings, num_classes: int) -> tuple[Stage, ...]:
    """The network from image to classes, a Stage a step."""
    model, size = settings.model, settings.data.image_size
    rows = [Stage("Image", 3, size, 0), Stage("Stem", model.block_widths[0], size, 0)]
    for block, width in enumerate(model.block_widths, 1):
        if block in model.pool_after:
            size //= 2
        rows.append(Stage(f"Block {block}", width, size, model.num_experts))
    return (*rows, Stage("Classes", num_classes, 1, 0))


def refuse_if_too_large(settings: Settings, num_classes: int, available: int | None = None) -> None:
    """Raises SettingsError where a CPU run needs more memory than the `available` bytes (default: what is free now)."""
    device = resolve_device(settings.hardware.device)  # also refuses one that is not there
    if device.type != "cpu":
        return
    needed = estimate(settings, num_classes).memory_bytes
    available = available_memory(device) if available is None else available
    if needed > available:
        raise SettingsError(
            f"This run needs about {needed / 2**30:.1f} GiB of memory and {available / 2**30:.1f} GiB are free: "
            f"{batch_size_text(settings, num_classes, available)}."
        )


def batch_size_text(settings: Settings, num_classes: int, available: int) -> str:
    """What to change so that the run fits into `available` bytes: the largest power of two below its batch that does."""
    result, batch = estimate(settings, num_classes), settings.training.batch_size
    spare = available - (result.memory_bytes - batch * result.image_bytes)
    fits = min(batch - 1, spare // result.image_bytes)
    if fits < 1:
        return "make the network smaller, since not even one image at a time would fit"
    return f"set training.batch_size to {2 ** (fits.bit_length() - 1)} instead of {batch}, or make the network smaller"
