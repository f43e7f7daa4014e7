"""What a training reports."""

from dataclasses import dataclass
from typing import Literal, TypedDict

from expertnet.store.history import HistoryRow


class TestResult(TypedDict):
    """The figures of the best weights on the test set, by their keys in status.json."""

    test_loss: float
    test_accuracy: float
    test_accuracy_mirrored: float | None
    test_accuracy_views: float | None


@dataclass(frozen=True)
class Progress:
    """What a Trainer reports after a step, before an evaluation batch, after an epoch, and after the test."""

    kind: Literal["step", "evaluation", "epoch", "test"]
    epoch: int  # the current epoch, from 1; at "epoch" the one just completed
    step: int
    steps: int
    loss: float | None = None  # mean training loss of the epoch so far; None if it was not read
    images_per_second: float | None = None
    metrics: HistoryRow | None = None  # only at "epoch"
    test: TestResult | None = None  # only at "test"
