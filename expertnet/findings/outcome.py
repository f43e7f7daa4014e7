"""What a training came to, in a sentence."""

from expertnet.data.builtin import BUILTIN
from expertnet.settings.schema import Settings
from expertnet.store.status import Status
from expertnet.training.pace import FEW_STEPS
from expertnet.utils.text import counted, percent


def outcome(settings: Settings, status: Status, classes: int) -> str:
    """Return one sentence on a run that has ended, or two if it has barely learned; "" if nothing was measured.

    A run has barely learned if it took fewer than FEW_STEPS steps and is nearer to guessing than to no mistake.
    """
    accuracy, steps = status.test_accuracy, status.epoch * status.steps
    if accuracy is None:
        if status.best_val_accuracy is None or not status.epoch:
            return ""
        measured = "test" if settings.watches_test else "validation"
        done = f"Recognizes {percent(status.best_val_accuracy)} of the {measured} images"
        return f"{done} after {status.epoch} of {counted(status.epochs, 'epoch')}."
    if 0 < steps < FEW_STEPS and accuracy < (1 + 1 / max(classes, 1)) / 2:
        return (
            f"Barely learned: {percent(accuracy)} of the unseen images are right after {counted(steps, 'step')} in all. "
            "Train longer."
        )
    known = BUILTIN.get(settings.data.dataset)
    if known is None:
        return f"Recognizes {percent(accuracy)} of the unseen test images."
    noun = "digit" if settings.data.dataset == "digits" else "image"
    wrong = round((1 - accuracy) * known.test_images)
    return f"Recognizes {percent(accuracy)} of {counted(known.test_images, f'unseen {noun}')}; {wrong:,} wrong."
