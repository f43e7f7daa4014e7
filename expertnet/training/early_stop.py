"""When a training ends before its last epoch. It depends on the completed epochs alone, so a resumed run ends where it would have."""

from collections.abc import Sequence

from expertnet.settings.schema import TrainingSettings
from expertnet.utils.text import counted


def early_end(training: TrainingSettings, epoch: int, best_epoch: int, seconds: Sequence[float]) -> str:
    """Return why no epoch follows `epoch`, as a sentence; "" if one does. `seconds` are those of each completed epoch."""
    if epoch >= training.epochs:
        return ""
    if training.patience and epoch - best_epoch >= training.patience:
        return f"Stopped early: no better validation accuracy for {counted(epoch - best_epoch, 'epoch')}."
    if training.max_minutes and seconds and sum(seconds) + seconds[-1] > training.max_minutes * 60:
        return f"Stopped early: another epoch would exceed the time limit of {training.max_minutes:g} minutes."
    return ""
