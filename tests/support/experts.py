"""The Experts page, its views and buttons."""

from PIL import Image

from expertnet.findings.experts import DOES
from tests.support.opening import opened
from tests.support.settling import settled

MEASURE_ABLATIONS = "Switch off each expert in turn"


def view_of(run, view, **address):
    """A view with the results of its background tasks."""
    return settled(opened("experts", run.id, view=view, **address))


def click(test, label):
    """Click the first button with this label."""
    next(button for button in test.button if button.label == label).click().run()


def class_folders(path, classes, count=6):
    for number, name in enumerate(classes):
        (path / name).mkdir(parents=True)
        for index in range(count):
            Image.new("RGB", (8, 8), (index * 9, 60 * number, 99)).save(path / name / f"{index}.png")
    return path


def verdict(test):
    """The sentences of the card at the head of the page."""
    kinds = [words for pair in DOES.values() for words in pair]
    return next(part.value for part in test.markdown if any(words in part.value for words in kinds)).replace("\\", "")
