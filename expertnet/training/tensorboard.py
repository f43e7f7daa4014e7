"""Write a run's figures for TensorBoard, if `training.tensorboard` is on."""

from typing import Any, Self

from expertnet.store.history import HistoryRow
from expertnet.store.run import Run
from expertnet.training.trackers.record import named_figures
from expertnet.training.trackers.start import require_trackers

FOLDER = "tensorboard"


class TensorBoardLog:
    """Writes the figures of each epoch into the folder tensorboard/ of the run. Without the setting, it writes nothing.

    The first epoch written after resuming replaces that epoch and all later ones.
    """

    def __init__(self, run: Run) -> None:
        settings = run.settings()
        require_trackers(settings)
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
        for name, value in named_figures(row, self.watches_test).items():
            self.writer.add_scalar(name, value, epoch)
        self.writer.flush()

    def __exit__(self, *exception: object) -> None:
        if self.writer is not None:
            self.writer.close()
