"""When a training ends before its last epoch. It depends on the completed epochs alone, so a resumed run ends where it would have."""

from collections.abc import Sequence

from expertnet.settings.schema import TrainingSettings
from expertnet.store.history import HistoryRow
from expertnet.utils.text import counted


def early_end(training: TrainingSettings, history: Sequence[HistoryRow]) -> str:
    """Return why no epoch follows the completed ones, as a sentence; "" if one does."""
    if not history or history[-1]["epoch"] >= training.epochs:
        return ""
    best = max(history, key=lambda row: row["val_accuracy"] or 0.0)  # the first one that was so accurate
    waited = history[-1]["epoch"] - best["epoch"]
    if training.patience and waited >= training.patience:
        return f"Stopped early: no better validation accuracy for {counted(waited, 'epoch')}."
    seconds = [row["seconds"] or 0.0 for row in history]
    if training.max_minutes and sum(seconds) + seconds[-1] > training.max_minutes * 60:
        return f"Stopped early: another epoch would exceed the time limit of {training.max_minutes:g} minutes."
    return ""
