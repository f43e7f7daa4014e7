"""Memory of a training: faster allocation on a CPU, and an error that names a smaller batch."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from expertnet.errors import TrainingError
from expertnet.network.cost import batch_size_text, estimate
from expertnet.settings.schema import Settings
from expertnet.utils.devices import available_memory
from expertnet.utils.memory import keep_freed_memory, release_freed_memory


@contextmanager
def training_memory(settings: Settings, num_classes: int, images: int, device: torch.device) -> Iterator[None]:
    """Keep freed memory for reuse while the body trains on so many images on a CPU, if twice the expected memory is free.

    Raises TrainingError if memory runs out.
    """
    needed = 2 * estimate(settings, num_classes, images).memory_bytes
    keeps = device.type == "cpu" and needed < available_memory(device)
    if keeps:
        keep_freed_memory()
    try:
        yield
    except (MemoryError, RuntimeError) as error:  # torch.OutOfMemoryError is a RuntimeError
        if not _is_out_of_memory(error):
            raise
        place = "computer" if device.type == "cpu" else "GPU"
        advice = batch_size_text(settings, num_classes, available_memory(device), images)
        raise TrainingError(f"The {place} ran out of memory. {advice}", "memory") from error
    finally:
        if keeps:
            release_freed_memory()


def _is_out_of_memory(error: Exception) -> bool:
    text = str(error).lower()
    known = isinstance(error, MemoryError | torch.OutOfMemoryError)
    return known or "allocate memory" in text or "out of memory" in text
