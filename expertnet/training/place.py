"""What a training gets of the computer when several run at once."""

from dataclasses import dataclass

import torch

from expertnet.settings.schema import Settings
from expertnet.utils.devices import available_threads


@dataclass(frozen=True)
class Place:
    """One of the places of a store, of which `count` may be in use at once. `cpus` are those that a cluster has set apart."""

    number: int = 0
    count: int = 1
    cpus: float | None = None

    @property
    def threads(self) -> int | None:
        """The share of the processor's threads; None for all."""
        if self.cpus:
            return max(int(self.cpus), 1)
        return None if self.count == 1 else max(available_threads() // self.count, 1)

    def chosen(self, settings: Settings) -> Settings:
        """Return the settings with the GPU of this place, if there are several and `hardware.device` leaves the choice."""
        gpus = torch.cuda.device_count() if self.count > 1 else 0
        if gpus < 2 or settings.hardware.device not in ("auto", "cuda"):
            return settings
        hardware = settings.hardware.model_copy(update={"device": f"cuda:{self.number % gpus}"})
        return settings.model_copy(update={"hardware": hardware})
