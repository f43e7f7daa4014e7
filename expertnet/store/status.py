"""The contents of status.json: a run's state, progress and figures, and the process that writes it."""

from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field

from expertnet.utils.processes import Process

TRAINING_STATES = frozenset({"running", "stopping"})
ACTIVE_STATES = TRAINING_STATES | {"queued"}
TRAINING = "Training"  # the activity whose steps are counted
RESUMABLE_STATES = frozenset({"stopped", "failed", "interrupted"})

Count = Annotated[int, Field(ge=0, le=2**53)]
Number = Annotated[float, Field(ge=-1e300, le=1e300)]  # training writes no larger ones


class Before(BaseModel):
    """The state of a run before it was queued to resume. It returns to it if it leaves the queue untrained."""

    model_config = ConfigDict(frozen=True, strict=True, allow_inf_nan=False)

    state: str
    epochs: Count
    error: str | None = None
    error_kind: str | None = None
    processes: Count | None = None  # missing in records of older versions, as is the next
    trial: bool | str = False


class Status(Process):
    """The status of a run. `Status.model_validate` accepts records of any version and raises ValueError for damaged ones."""

    state: str = "queued"
    activity: str = ""  # in words, while training
    activity_share: Number | None = None  # of the activity, 0 to 1
    epoch: Count = 0  # completed
    epochs: Count = 0
    step: Count = 0  # in the current epoch
    steps: Count = 0
    epoch_images: Count | None = None  # drawn in an epoch's steps; missing in runs from older versions
    images_per_second: Number | None = None
    seconds_left: Number | None = None
    best_epoch: Count | None = None
    best_val_accuracy: Number | None = None  # accuracies are fractions
    val_accuracy: Number | None = None  # of the last epoch
    validation_images: Count | None = None  # missing in runs from older versions, as is the next
    test_images: Count | None = None
    test_accuracy: Number | None = None
    test_accuracy_mirrored: Number | None = None
    test_accuracy_views: Number | None = None
    test_loss: Number | None = None
    train_loss_now: Number | None = None
    device: str | None = None
    device_memory: Number | None = None  # bytes
    utilization: Number | None = None  # of the GPU, or of the processor cores by this process, 0 to 1
    process_memory: Number | None = None  # bytes
    error: str | None = None  # a sentence for users
    error_kind: str | None = None  # "nan", "memory", "data", "disk" or "other"
    seconds: Number | None = None  # of training so far
    own_process: bool = False
    before: Before | None = None

    def changed(self, **values: Any) -> Self:
        """Return a copy with other values. `process`, a Process, replaces the writing process."""
        writer = values.pop("process", None)
        return self.model_copy(update=(writer.model_dump() if writer else {}) | values)

    @property
    def active(self) -> bool:
        return self.state in ACTIVE_STATES

    @property
    def training(self) -> bool:
        return self.state in TRAINING_STATES

    @property
    def ended_early(self) -> bool:
        """Return whether patience or the time limit ended the training before its last epoch."""
        return ended_early(self.state, self.epoch, self.epochs)

    @property
    def progress(self) -> float:
        """Return the completed share of the training, 0 to 1, including the steps of the current epoch."""
        if self.ended_early:
            return 1.0
        begun = self.step / self.steps if self.steps and self.training else 0.0
        return float(min((self.epoch + begun) / max(self.epochs, 1), 1.0))


def ended_early(state: str, epoch: int, epochs: int) -> bool:
    return state == "finished" and epoch < epochs


def epochs_text(state: str, epoch: int, epochs: int) -> str:
    """Return the completed epochs of a run in words: "6 of 12", or "6, ended early"."""
    return f"{epoch:,}, ended early" if ended_early(state, epoch, epochs) else f"{epoch:,} of {epochs:,}"
