"""What corruptions of the images do to the accuracy and to the routing."""

from collections.abc import Sequence
from functools import partial

import pandas as pd

from expertnet.charts.evaluation import corruption_curves
from expertnet.evaluation.corruptions import CORRUPTIONS, SIZE, STRENGTHS
from expertnet.evaluation.robustness import Robustness, corrupted_classes, corruption_table
from expertnet.findings.finding import Finding, cached, highest, lowest
from expertnet.utils.text import counted, percent, points

HOW = (
    f"Each of {{images}} is classified without and with each corruption at {len(STRENGTHS)} strengths. At {SIZE} pixels, these are the "
    "strengths of CIFAR-10-C (Hendrycks and Dietterich 2019, arXiv:1903.12261). At other sizes, the radius of the blur grows with the "
    "size, and noise and JPEG with its square root. The noise is the same for every network."
)


@cached
def corruptions(found: Robustness, blocks: tuple[int, ...]) -> Finding:
    """Show the accuracy with each corruption at each strength."""
    table = corruption_table(found, blocks)
    clean, corrupt = table["accuracy"].iloc[0], table[table["strength"] > 0]
    worst = lowest(corrupt, "change")
    sentence = (
        f"With a corruption, accuracy is {percent(corrupt['accuracy'].mean())} on average, instead of {percent(clean)}. "
        + (
            f"It falls the most with {worst['corruption']} at strength {worst['strength']}: by {points(worst['change'])}."
            if worst["change"] < 0
            else "No corruption costs accuracy."
        )
    )
    method = (
        f"{_how(found)} Change, low and high compare each image with itself (95% interval of Agresti and Min 2005, for each row alone). "
        "The average counts every corruption and strength the same."
    )
    chart = partial(corruption_curves, table, "accuracy", "accuracy")
    return Finding(f"robustness-{found.part}", "chart of corruptions", sentence, chart, table, method)


@cached
def routing_under_corruption(found: Robustness, blocks: tuple[int, ...]) -> Finding:
    """Show how far each corruption moves the routing."""
    table = corruption_table(found, blocks)
    most = highest(table, "moved")
    sentence = (
        f"Routing moves the most with {most['corruption']} at strength {most['strength']}: {percent(most['moved'])} of the weight goes to "
        "other experts."
        if most["moved"] > 0
        else "No corruption changes the routing."
    )
    method = (
        f"{_how(found)} Moved is the share of a block's weight that goes to other experts than without corruption (total variation: half "
        "the sum of the absolute differences), averaged over the images and the blocks that have experts."
    )
    chart = partial(corruption_curves, table, "moved", "weight that moves")
    table = table[["corruption", "strength", "moved", "change"]]
    return Finding(f"routing-robustness-{found.part}", "chart of routing", sentence, chart, table, method)


@cached
def corruptions_by_class(found: Robustness, classes: Sequence[str]) -> Finding:
    """Show the accuracy on the images of each class with each corruption."""
    table = corrupted_classes(found, tuple(classes))
    lost = pd.DataFrame({name: table["no corruption"] - table[name] for name in CORRUPTIONS})
    name = str(lost.max().idxmax())
    place = int(lost[name].argmax())
    sentence = f"Class {table['class'][place]} loses the most, with {name}: {points(lost[name][place])} on average over the strengths."
    if lost[name][place] <= 0:
        sentence = "No class loses accuracy."
    method = f"{_how(found)} Each column is the mean over the strengths. Classes with few images can differ by chance."
    shares = ("no corruption", *CORRUPTIONS)
    return Finding(f"robustness-by-class-{found.part}", "table of classes", sentence, None, table, method, shares)


def _how(found: Robustness) -> str:
    return HOW.format(images=counted(len(found.labels), f"{found.part} image"))
