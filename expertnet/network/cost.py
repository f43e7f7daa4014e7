"""The cost of a run before it starts: parameters, multiply-adds, memory.

Formulas are fast enough for every change in the form. torch's counters take seconds to load and a second for a large
network; a test compares them with the formulas.
"""

from dataclasses import dataclass

import torch

from expertnet.errors import SettingsError
from expertnet.network.counts import Counts
from expertnet.settings.schema import Settings
from expertnet.utils.devices import available_memory, resolve_device, resolve_precision

RUNTIME_BYTES = 300 * 2**20  # of the process besides tensors, measured on a CPU
FROZEN_STEP = 1 / 3  # of the computation of a step: only the classifier learns, so there is hardly any backward pass


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
    memory_bytes: int  # expected peak while training, without the dataset: of all processes on a CPU, of each on GPUs
    image_bytes: int  # the part of memory_bytes per image of a batch
    batch: int  # images
    stages: tuple[Stage, ...]


def estimate(settings: Settings, num_classes: int, images: int | None = None) -> Estimate:
    """Estimate the cost of training with these settings. A device that is not available is replaced by the CPU.

    `images` is the number of training images, which no batch exceeds, if it is known.
    """
    try:
        device = resolve_device(settings.hardware.device)
    except SettingsError:
        device = torch.device("cpu")
    dtype = resolve_precision(settings.hardware.precision, device)
    training = settings.training
    counts = Counts(settings.model, settings.data.image_size, num_classes, dtype)
    copies = 4 if training.optimizer == "adamw" else 3  # weights, gradients, moments
    cast = dtype.itemsize if dtype != torch.float32 else 0  # weights in a lower precision
    per_parameter = 4 * copies + cast
    pixels = 3 * settings.data.image_size**2 * 4 * 2  # augmented and normalized, float32
    on_cpu, processes = device.type == "cpu", settings.hardware.processes
    image_bytes = int((counts.saved + pixels) * training.hardest_share) // (1 if on_cpu else processes)
    fixed = (RUNTIME_BYTES + per_parameter * counts.parameters) * (processes if on_cpu else 1)
    batch = min(training.batch_size, images or training.batch_size)
    memory, steps = fixed + batch * image_bytes, stages(settings, num_classes)
    return Estimate(counts.parameters, counts.multiply_adds, memory, image_bytes, batch, steps)


def work(settings: Settings, epochs: float) -> float:
    """Return the computation of the first `epochs`, in epochs of the whole network: in frozen ones, only the classifier learns."""
    frozen = min(settings.training.frozen_epochs, epochs) if settings.model.start_from else 0.0
    return epochs - frozen * (1 - FROZEN_STEP)


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


def refuse_if_too_large(
    settings: Settings, num_classes: int, images: int | None = None, available: int | None = None
) -> None:
    """Raise SettingsError if a CPU run needs more memory than `available` bytes (default: what is free now).

    Also raises it if the device is not available. `images` is the number of training images, if it is known.
    """
    device = resolve_device(settings.hardware.device)
    if device.type != "cpu":
        return
    needed = estimate(settings, num_classes, images).memory_bytes
    available = available_memory(device) if available is None else available
    if needed > available:
        raise SettingsError(
            f"This run needs about {needed / 2**30:.1f} GiB of memory, but only {available / 2**30:.1f} GiB is free. "
            f"{batch_size_text(settings, num_classes, available, images)}"
        )


def batch_size_text(settings: Settings, num_classes: int, available: int, images: int | None = None) -> str:
    """Say in a sentence which smaller batch, a power of two, makes the run fit into `available` bytes."""
    result = estimate(settings, num_classes, images)
    spare = available - (result.memory_bytes - result.batch * result.image_bytes)
    fits = min(result.batch - 1, spare // result.image_bytes)
    if fits < 1:
        return "Make the network smaller: even a batch of one image does not fit."
    power = 2 ** (fits.bit_length() - 1)
    return (
        f"Set `training.batch_size` to {power} instead of {settings.training.batch_size}, or make the network smaller."
    )
