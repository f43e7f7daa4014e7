"""Write a run's figures for TensorBoard, if `training.tensorboard` is on."""

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any, Self

from expertnet.errors import SettingsError
from expertnet.settings.schema import Settings
from expertnet.store.history import HistoryRow
from expertnet.store.run import Run

FOLDER = "tensorboard"
NAMES = {  # key of metrics.jsonl: name in TensorBoard, which groups names by what precedes the slash
    "train_loss": "loss/train",
    "val_loss": "loss/validation",
    "train_accuracy": "accuracy/train",
    "val_accuracy": "accuracy/validation",
    "lr": "training/learning rate",
    "images_per_second": "training/images per second",
}


def require_tensorboard(settings: Settings) -> None:
    """Raise SettingsError if the setting is on and the package is missing."""
    if settings.training.tensorboard and find_spec("tensorboard") is None:
        raise SettingsError(
            "`training.tensorboard` needs the package tensorboard, which is not installed. "
            "Run 'python -m pip install tensorboard', or turn the setting off."
        )


class TensorBoardLog:
    """Writes the figures of each epoch into the folder tensorboard/ of the run. Without the setting, it writes nothing.

    The first epoch written after resuming replaces that epoch and all later ones.
    """

    def __init__(self, run: Run) -> None:
        settings = run.settings()
        require_tensorboard(settings)
        self.folder = run.path / FOLDER
        self.on, self.watches_test = settings.training.tensorboard, settings.watches_test
        self.writer: Any = None

    def __enter__(self) -> Self:
        return self

    def write(self, row: HistoryRow) -> None:
        if not self.on:
            return
        epoch = row["epoch"]
        if self.writer is None:
            from torch.utils.tensorboard import SummaryWriter  # importing it takes a second

            self.writer = SummaryWriter(self.folder, purge_step=epoch)
        figures: Mapping[str, Any] = row
        scalars = {self._name(key): figures.get(key) for key in NAMES}
        scalars |= {f"routing entropy/block {n}": v for n, v in enumerate(row.get("routing_entropy") or [], 1)}
        for name, value in scalars.items():
            if value is not None:
                self.writer.add_scalar(name, value, epoch)
        self.writer.flush()

    def _name(self, key: str) -> str:
        return NAMES[key].replace("validation", "test set") if self.watches_test else NAMES[key]

    def __exit__(self, *exception: object) -> None:
        if self.writer is not None:
            self.writer.close()
