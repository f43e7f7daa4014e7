"""A run's figures for TensorBoard, where the setting training.tensorboard asks for them.

In this module: ScalarLog, refuse_without_tensorboard. The events lie in the run's folder, under tensorboard/; TensorBoard itself
is a package of its own, which only this setting needs.
"""

from __future__ import annotations

from importlib.util import find_spec
from types import TracebackType
from typing import Any

from expertnet.errors import SettingsError
from expertnet.settings.schema import Settings
from expertnet.store.run import Run

FOLDER = "tensorboard"
NAMES = {  # key of metrics.jsonl: the name that TensorBoard shows; what is alike before the slash shares a section
    "train_loss": "loss/train",
    "val_loss": "loss/validation",
    "train_accuracy": "accuracy/train",
    "val_accuracy": "accuracy/validation",
    "lr": "training/learning rate",
    "images_per_second": "training/images per second",
}


def refuse_without_tensorboard(settings: Settings) -> None:
    """Raises SettingsError where scalars are asked for and the package that writes them is missing."""
    if settings.training.tensorboard and find_spec("tensorboard") is None:
        raise SettingsError(
            "training.tensorboard needs the package tensorboard, which is not installed; "
            "run 'python -m pip install tensorboard', or switch the setting off."
        )


class ScalarLog:
    """Writes each whole epoch's figures; without the setting it does nothing.

    An epoch that is gone through again after a resume replaces what was written of it: TensorBoard drops every step from the
    first one that is written now.
    """

    def __init__(self, run: Run) -> None:
        settings = run.settings()
        refuse_without_tensorboard(settings)
        self.folder = run.path / FOLDER
        self.on, self.watches_test = settings.training.tensorboard, settings.watches_test
        self.writer: Any = None

    def __enter__(self) -> ScalarLog:
        return self

    def write(self, metrics: dict[str, Any]) -> None:
        """The figures of an epoch, as a line of metrics.jsonl has them."""
        if not self.on:
            return
        epoch = metrics["epoch"]
        if self.writer is None:
            from torch.utils.tensorboard import SummaryWriter  # its import takes a second

            self.writer = SummaryWriter(self.folder, purge_step=epoch)
        figures = {self._name(key): metrics.get(key) for key in NAMES}
        figures |= {f"routing entropy/block {n}": v for n, v in enumerate(metrics.get("routing_entropy") or [], 1)}
        for name, value in figures.items():
            if value is not None:
                self.writer.add_scalar(name, value, epoch)
        self.writer.flush()

    def _name(self, key: str) -> str:
        return NAMES[key].replace("validation", "test set") if self.watches_test else NAMES[key]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.writer is not None:
            self.writer.close()
