"""How well a network does on its validation or test images: in all, and by class."""

from collections.abc import Sequence

import pandas as pd

from expertnet.evaluation.figures import Figure, class_table, figures
from expertnet.evaluation.outputs import Outputs
from expertnet.findings.finding import Finding, cached, lowest
from expertnet.inference.mistakes import Part
from expertnet.store.run import Run
from expertnet.utils.text import counted, percent

WILSON = "the 95% interval of Wilson (1927)"
CHOSE = (
    "The validation images also chose the epoch of this network, so these figures tend to be slightly too high. The figures on the test "
    "images are unbiased as long as no choice depends on them."
)
NOTHING_HELD_OUT = (
    "This run held out no validation images. Nothing was chosen by the test images: the last epoch counts."
)


def caveat(run: Run, part: Part) -> str:
    """Say what the images of a part have been used for before, or return ""."""
    if run.watches_test:
        return NOTHING_HELD_OUT
    return CHOSE if part == "validation" else ""


def with_interval(figure: Figure) -> str:
    """Return a figure with its interval: "86.5% (95%: 84.1% to 88.4%)"."""
    return f"{percent(figure.value)} (95%: {percent(figure.low)} to {percent(figure.high)})"


@cached
def overall(outputs: Outputs) -> Finding:
    """Show accuracy, top-5 accuracy and macro F1 with their intervals."""
    found = figures(outputs)
    rows = [(name, figure.value, figure.low, figure.high) for name, figure in found.items()]
    first, *others = (f"{name} {with_interval(figure)}" for name, figure in found.items())
    images = counted(len(outputs.labels), f"{outputs.part} image")
    sentence = f"{first[0].upper()}{first[1:]} on {images}; {', '.join(others)}."
    method = (
        f"Low and high are {WILSON}. Macro F1 is the mean of the classes' F1, so that every class counts the same. The variance of "
        "macro F1 comes from the delta method (Takahashi 2022, doi:10.1007/s10489-021-02635-5), and its interval is that of a share "
        "with the same variance. The intervals cover which images were drawn, not what another seed would train."
    )
    table = pd.DataFrame(rows, columns=["figure", "value", "low", "high"])
    return Finding(
        f"figures-{outputs.part}", "table of figures", sentence, None, table, method, ("value", "low", "high")
    )


@cached
def by_class(outputs: Outputs, classes: Sequence[str]) -> Finding:
    """Show precision, recall, F1 and the number of images of each class."""
    table = class_table(outputs, classes)
    known = table.dropna(subset="f1")
    worst = lowest(known, "f1")
    sentence = f"F1 is lowest for {worst['class']}: {percent(worst['f1'])}."
    if known["f1"].min() == 1:
        sentence = f"None of these {counted(len(outputs.labels), 'image')} is mistaken for another class."
    method = (
        "Precision is the share of right answers among all images that get this answer, recall is the share of the class's "
        f"images that are right, and F1 is their harmonic mean. Low and high are {WILSON} for recall. Most often is the wrong answer "
        "that the class's images get most often."
    )
    shares = ("precision", "recall", "low", "high", "f1")
    return Finding(f"classes-{outputs.part}", "table of classes", sentence, None, table, method, shares)
