"""What a training came to, in a sentence."""

from expertnet.data.builtin import BUILTIN
from expertnet.evaluation.figures import wilson
from expertnet.settings.schema import Settings
from expertnet.store.status import Status
from expertnet.training.pace import ENOUGH_STEPS
from expertnet.utils.text import counted, percent

WIDE = 0.1  # width of the interval of an accuracy from which on it says little


def barely_learned(status: Status, classes: int) -> bool:
    """Return whether a run took fewer than ENOUGH_STEPS steps and is nearer to guessing than to no mistake."""
    accuracy, steps = status.test_accuracy, status.epoch * status.steps
    return accuracy is not None and 0 < steps < ENOUGH_STEPS and accuracy < (1 + 1 / max(classes, 1)) / 2


def outcome(settings: Settings, status: Status, classes: int) -> str:
    """Return one sentence on a run that has ended, or two if it has barely learned or the test images are few.

    Returns "" if nothing was measured.
    """
    accuracy, steps = status.test_accuracy, status.epoch * status.steps
    if accuracy is None:
        if status.best_val_accuracy is None or not status.epoch:
            return ""
        measured = "test" if settings.watches_test else "validation"
        best = status.epoch if settings.watches_test else status.best_epoch or status.epoch
        done = f"Recognizes {percent(status.best_val_accuracy)} of the {measured} images"
        later = " Later epochs were no better." if best < status.epoch else ""
        return f"{done} after {best} of {counted(status.epochs, 'epoch')}.{later}"
    if barely_learned(status, classes):
        return (
            f"Barely learned: {percent(accuracy)} of the unseen images are right after {counted(steps, 'step')} in all. "
            "Train longer."
        )
    dataset = settings.data.dataset
    images = BUILTIN[dataset].test_images if dataset in BUILTIN else status.test_images
    if not images:
        return f"Recognizes {percent(accuracy)} of the unseen test images."
    right, noun = round(accuracy * images), "unseen digit" if dataset == "digits" else "unseen image"
    low, high = wilson(right / images, images)
    if high - low > WIDE:
        return (
            f"Recognizes {right} of {counted(images, noun)} ({percent(accuracy)}). So few images say little: "
            f"the accuracy is likely between {percent(low)} and {percent(high)} (95% Wilson interval)."
        )
    return f"Recognizes {percent(accuracy)} of {counted(images, noun)}; {images - right:,} wrong."
