"""The cost of a run before it starts: parameters, multiply-adds, memory.

Formulas are fast enough for every change in the form. torch's counters take seconds to load and a second for a large
network; a test compares them with the formulas.
"""

from dataclasses import dataclass

import torch

from expertnet.errors import SettingsError
from expertnet.settings.schema import ModelSettings, Settings
from expertnet.utils.devices import available_memory, resolve_device, resolve_precision

RUNTIME_BYTES = 300 * 2**20  # of the process besides tensors, measured on a CPU


@dataclass(frozen=True)
class Stage:
    """A step of the network, as the architecture diagram shows it."""

    name: str
    channels: int
    size: int  # width and height of the output, pixels
    experts: int  # 0 if the step has no experts


@dataclass(frozen=True)
class Estimate:
    """The cost of training a network."""

    parameters: int
    multiply_adds: int  # per image, forward pass
    memory_bytes: int  # expected peak while training, without the dataset
    image_bytes: int  # the part of memory_bytes per image of a batch
    stages: tuple[Stage, ...]


def estimate(settings: Settings, num_classes: int) -> Estimate:
    """Estimate the cost of training with these settings. A device that is not available is replaced by the CPU."""
    try:
        device = resolve_device(settings.hardware.device)
    except SettingsError:
        device = torch.device("cpu")
    dtype = resolve_precision(settings.hardware.precision, device)
    training = settings.training
    parameters, multiply_adds, saved = _cost(settings.model, settings.data.image_size, num_classes, dtype)
    copies = 4 if training.optimizer == "adamw" else 3  # weights, gradients, moments
    cast = dtype.itemsize if dtype != torch.float32 else 0  # weights in a lower precision
    per_parameter = 4 * copies + cast
    images = 3 * settings.data.image_size**2 * 4 * 2  # augmented and normalized, float32
    memory = RUNTIME_BYTES + per_parameter * parameters + training.batch_size * (saved + images)
    return Estimate(parameters, multiply_adds, memory, saved + images, stages(settings, num_classes))


def _cost(model: ModelSettings, image_size: int, num_classes: int, dtype: torch.dtype) -> tuple[int, int, int]:
    """Return the parameters, and per image the multiply-adds and the bytes that the forward pass saves for the backward pass."""
    number = dtype.itemsize  # bytes per output of a convolution
    cast = number if dtype != torch.float32 else 0  # bytes per float32 number that is converted
    keeps_input = model.activation != "relu"  # ReLU saves its output, which the next step saves too
    area, channels = image_size**2, model.stem_width
    saved = number * 3 * area  # the image
    if model.whitened_stem:
        size = image_size - 1
        parameters, multiply_adds = 13 * channels, 12 * channels * size**2
        saved += number * size**2 * channels * (1 + keeps_input)
    else:
        size = image_size
        parameters, multiply_adds = (27 + 2) * channels, 27 * channels * area
        saved += number * area * channels * (2 + keeps_input)
    is_saved = True  # the input of the next step
    for block, width in enumerate(model.block_widths, 1):
        routed = block in model.routed_blocks
        pools, experts = block in model.pool_after, model.num_experts if routed else 1
        area = size**2
        if not is_saved:
            saved += number * area * channels
        if routed and model.routing != "uniform":
            hidden = max(channels // model.reduction, 1)
            parameters += (channels + 1) * hidden + (hidden + 1) * experts
            multiply_adds += channels * hidden + hidden * experts
            saved += 4 * (hidden + experts + (channels if model.routing == "learned" else 0))
        parameters += experts * width * (9 * channels + 2)
        multiply_adds += 9 * channels * experts * width * area
        if pools and model.pool_before_norm and model.residual:
            saved += 8 * (size // 2) ** 2 * channels  # the pooled input
        channels = width
        if pools and model.pool_before_norm:
            saved += experts * _pooling(number, size, channels)
            size //= 2
            area = size**2
        saved += experts * number * area * channels * (1 + keeps_input)  # each norm's and activation's input
        is_saved = not routed and not model.residual and not keeps_input
        if routed or not keeps_input:
            saved += experts * number * area * channels
        saved += experts * number if routed else 0  # weights
        if routed and model.gates == "se":
            hidden = max(channels // model.reduction, 1)
            parameters += (channels + 1) * hidden + (hidden + 1) * channels
            multiply_adds += 2 * channels * hidden
            saved += number * area * channels + 4 * (2 * channels + hidden) + cast * channels
        if pools and not model.pool_before_norm:
            saved += _pooling(number, size, channels) - (number * area * channels if is_saved else 0)
            size //= 2
            is_saved = False
    head = channels * num_classes + (num_classes if model.head == "mean" else 0)
    if model.head == "max" and not is_saved:
        saved += number * size**2 * channels
    saved += number * channels
    return parameters + head, multiply_adds + channels * num_classes, saved


def _pooling(number: int, size: int, channels: int) -> int:
    """Return the bytes that 2x2 max pooling saves: its input, and the places of the maxima."""
    return channels * (number * size**2 + 8 * (size // 2) ** 2)


def stages(settings: Settings, num_classes: int) -> tuple[Stage, ...]:
    """Return the network's steps from image to classes."""
    model, size = settings.model, settings.data.image_size
    rows = [Stage("Image", 3, size, 0)]
    size -= model.whitened_stem
    rows.append(Stage("Stem", model.stem_width, size, 0))
    for block, width in enumerate(model.block_widths, 1):
        if block in model.pool_after:
            size //= 2
        rows.append(Stage(f"Block {block}", width, size, model.num_experts if block in model.routed_blocks else 0))
    return (*rows, Stage("Classes", num_classes, 1, 0))


def refuse_if_too_large(settings: Settings, num_classes: int, available: int | None = None) -> None:
    """Raise SettingsError if a CPU run needs more memory than `available` bytes (default: what is free now).

    Also raises it if the device is not available.
    """
    device = resolve_device(settings.hardware.device)
    if device.type != "cpu":
        return
    needed = estimate(settings, num_classes).memory_bytes
    available = available_memory(device) if available is None else available
    if needed > available:
        raise SettingsError(
            f"This run needs about {needed / 2**30:.1f} GiB of memory, but only {available / 2**30:.1f} GiB is free. "
            f"{batch_size_text(settings, num_classes, available)}"
        )


def batch_size_text(settings: Settings, num_classes: int, available: int) -> str:
    """Say in a sentence which smaller batch, a power of two, makes the run fit into `available` bytes."""
    result, batch = estimate(settings, num_classes), settings.training.batch_size
    spare = available - (result.memory_bytes - batch * result.image_bytes)
    fits = min(batch - 1, spare // result.image_bytes)
    if fits < 1:
        return "Make the network smaller: even a batch of one image does not fit."
    power = 2 ** (fits.bit_length() - 1)
    return f"Set `training.batch_size` to {power} instead of {batch}, or make the network smaller."
