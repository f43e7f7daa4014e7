"""The trained network of a run: its weights, and what going on with its training needs.

In this module: RunWeights.
"""

from __future__ import annotations

from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from expertnet.errors import RunError
from expertnet.store.reader import RunReader, sentence
from expertnet.store.status import RESUMABLE_STATES
from expertnet.store.weights_files import Checkpoint, epoch_of

ENDED = {"failed": "failed", "stopped": "was stopped", "interrupted": "was interrupted"}


class RunWeights(RunReader):
    """What run_reader.py reads of a run, and its network."""

    def check_network(self) -> None:
        """Raises RunError, which says why, where there is no trained network to use."""
        self.settings()
        self._dataset_info()
        kinds = self.checkpoints()
        if any(self.checkpoint_epoch(kind) for kind in kinds):
            return
        if kinds and all(self.checkpoint_epoch(kind) is None for kind in kinds):
            way = "going on with its training writes one anew" if self._goes_on else "start a new one from its settings"
            raise RunError(f"No checkpoint of run {self.name} can be read; {way}.")
        status = self.status()
        if status.state in ENDED and not status.epoch:
            ended = f"Run {self.title} {ENDED[status.state]} before its first epoch was whole"
            raise RunError(f"{ended}, so it has no trained network.")
        raise RunError(f"Run {self.title} has no trained network yet; that comes with its first whole epoch.")

    def has_network(self) -> bool:
        return sentence(self.check_network) is None

    def load_weights(self, kind: Checkpoint) -> tuple[dict[str, Tensor], int]:
        """The weights and their epoch."""
        try:
            with safe_open(self.checkpoint_path(kind), framework="pt") as file:
                weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no dict)
                return weights, epoch_of(file.metadata())
        except (SafetensorError, OSError, ValueError):
            if not self.checkpoints():
                self.check_network()  # which says more of a run without any
            raise self.unusable_checkpoint(kind) from None

    def can_resume(self) -> bool:
        return self.state in RESUMABLE_STATES and self.resume_damage() is None

    def resume_damage(self) -> str | None:
        """Why it cannot go on after its last whole epoch, in one sentence; None where it can."""
        return sentence(lambda: (self.settings(), self.load_resume(mmap=True)))

    def load_resume(self, mmap: bool = False) -> dict[str, Any] | None:
        """The state of the last committed epoch; None before the first commit. With mmap, tensors stay on the disk until used."""
        path = self.path / "resume.pt"
        if not path.is_file():
            if self.imported and self.checkpoints():
                raise RunError(
                    f"Run {self.name} came from an export, which holds no resume.pt, so it cannot go on; "
                    "start a new one from its settings."
                )
            if self.metrics():
                raise RunError(f"Run {self.name} has lost its resume.pt, so it cannot go on; start it anew.")
            return None
        try:
            state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
            int(state["epoch"])  # it is a state at all
            return state
        except Exception as error:  # torch raises many types for a damaged file
            raise RunError(
                f"The resume.pt of run {self.name} is damaged, so it cannot go on; start it anew."
            ) from error
