"""What a training came to, in a sentence."""

from expertnet.data.builtin import BUILTIN
from expertnet.routing.paired import wilson
from expertnet.settings.schema import Settings
from expertnet.store.status import Status
from expertnet.training.pace import ENOUGH_STEPS, FEW_STEPS, suits
from expertnet.utils.text import counted, percent

WIDE = 0.1  # width of the interval of an accuracy from which on it says little
CHANCE = 0.02  # of the way from guessing to no mistake: the lower end of the interval of a network that has learned something


def needs_more(settings: Settings, preset: str, status: Status, classes: int) -> bool:
    """Return whether a run that has ended has made mistakes after too few steps: it has barely learned, or took very few."""
    accuracy, steps = status.test_accuracy, status.epoch * status.steps
    if accuracy is None or accuracy == 1 or steps == 0:
        return False
    whole = status.epoch >= settings.training.epochs
    return _barely_learned(status, classes) or (steps < FEW_STEPS and not (whole and suits(settings, preset)))


def _barely_learned(status: Status, classes: int) -> bool:
    """Return whether a run took fewer than ENOUGH_STEPS steps and is nearer to guessing than to no mistake."""
    accuracy, steps = status.test_accuracy, status.epoch * status.steps
    return accuracy is not None and 0 < steps < ENOUGH_STEPS and accuracy < (1 + 1 / max(classes, 1)) / 2


def outcome(settings: Settings, preset: str, status: Status, classes: int) -> str:
    """Return what came of a run that has ended, in a sentence, or a few if it needs more steps or the test images are few.

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
    if _barely_learned(status, classes):
        return (
            f"Barely learned: {percent(accuracy)} of the unseen images are right after {counted(steps, 'step')} in all. "
            "Train longer."
        )
    recognized = _recognized(settings, status, accuracy, classes)
    few = needs_more(settings, preset, status, classes)
    return f"{recognized} Only {counted(steps, 'step')} in all; train longer." if few else recognized


def _recognized(settings: Settings, status: Status, accuracy: float, classes: int) -> str:
    """Return how many of the test images are right, and that guessing is hardly worse if it is."""
    dataset, guessing = settings.data.dataset, 1 / max(classes, 1)
    images = BUILTIN[dataset].test_images if dataset in BUILTIN else status.test_images
    right, noun = round(accuracy * (images or 0)), "unseen digit" if dataset == "digits" else "unseen image"
    low, high = wilson(right / images, images) if images else (accuracy, accuracy)
    like_guessing = classes > 1 and low < guessing + CHANCE * (1 - guessing)
    guess = f"guessing one of {counted(classes, 'class', 'classes')}"
    if images and high - low > WIDE:
        beside = f" By {guess}, {percent(guessing)} are right." if like_guessing else ""
        return (
            f"Recognizes {right} of {counted(images, noun)} ({percent(accuracy)}). So few images say little: "
            f"the accuracy is likely between {percent(low)} and {percent(high)} (95% Wilson interval).{beside}"
        )
    of = counted(images, noun) if images else "the unseen test images"
    if like_guessing:
        return f"Hardly better than {guess}: {percent(accuracy)} of {of} are right."
    wrong = f"; {images - right:,} wrong" if images else ""
    return f"Recognizes {percent(accuracy)} of {of}{wrong}."
