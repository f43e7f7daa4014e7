"""What a training, or one of the processes of one, gets of the computer when there are several."""

from dataclasses import dataclass
from typing import Self

import torch

from expertnet.settings.schema import Settings
from expertnet.utils.devices import available_threads


@dataclass(frozen=True)
class Place:
    """The first place of a run in its store, in which `count` may be in use at once: one for each process.

    `cpus` are those that a cluster has set apart.
    """

    number: int = 0
    count: int = 1
    cpus: float | None = None

    @property
    def threads(self) -> int | None:
        """The share of the processor's threads; None for all."""
        if self.cpus:
            return max(int(self.cpus), 1)
        return None if self.count == 1 else max(available_threads() // self.count, 1)

    def divided(self, number: int, count: int) -> Self:
        """Return the place of one of the `count` processes of the run, which is alone if it has more than there are places."""
        cpus = self.cpus / count if self.cpus else None
        return type(self)(self.number + number, max(self.count, count), cpus)

    def chosen(self, settings: Settings) -> Settings:
        """Return the settings with the GPU of this place, if there are several and `hardware.device` leaves the choice.

        Several processes of a run use the CPU if there is no NVIDIA GPU.
        """
        device, gpus = settings.hardware.device, torch.cuda.device_count() if self.count > 1 else 0
        if gpus > 1 and device in ("auto", "cuda"):
            device = f"cuda:{self.number % gpus}"
        elif device == "auto" and settings.hardware.processes > 1 and not torch.cuda.is_available():
            device = "cpu"
        return settings.model_copy(update={"hardware": settings.hardware.model_copy(update={"device": device})})
