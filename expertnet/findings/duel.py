"""Two networks on the same images: which is better, and on which classes."""

from collections.abc import Iterable, Sequence
from functools import partial

from expertnet.charts.evaluation import difference_dots
from expertnet.evaluation.compare import GROUPS, class_differences, difference_table, disagreements
from expertnet.evaluation.outputs import Outputs
from expertnet.findings.finding import Finding, cached
from expertnet.utils.text import bounds, counted, listed, points, signed

DRAWN, NAMED = 30, 3  # classes


@cached
def difference(first: Outputs, second: Outputs) -> Finding:
    """Compare accuracy and macro F1 of two networks."""
    table, groups = difference_table(first, second), disagreements(first, second)
    gain = table.iloc[0]
    size, interval = points(gain["difference"]), f"(95%: {bounds(gain['low'], gain['high'])})"
    if gain["low"] > 0:
        sentence = f"The first network is better by {size} {interval}."
    elif gain["high"] < 0:
        sentence = f"The second network is better by {size} {interval}."
    else:
        size = f"{signed(gain['difference'])} points"
        sentence = f"These images do not show which network is better: the difference is {size} {interval}."
    alone, other, neither = (len(groups[name]) for name in GROUPS)
    images = counted(len(first.labels), f"{first.part} image")
    sentence += (
        f" Of {images}, only the first is right on {alone:,}, and only the second on {other:,}. On {neither:,}, both are wrong in "
        "different ways."
    )
    method = (
        "Difference is the first network minus the second, on the same images, each of which is compared with itself. The 95% interval "
        "is that of Agresti and Min (2005) for the accuracy, and comes from the delta method for macro F1 (Takahashi 2022, "
        "doi:10.1007/s10489-021-02635-5). It covers which images were drawn. Another seed would train other networks: to compare "
        "settings, train several seeds of each."
    )
    shares = ("first", "second", "difference", "low", "high")
    return Finding(f"difference-{first.part}", "table of differences", sentence, None, table, method, shares)


@cached
def difference_by_class(first: Outputs, second: Outputs, classes: Sequence[str]) -> Finding:
    """Compare the accuracy of two networks on the images of each class."""
    table = class_differences(first, second, classes).sort_values("difference", kind="stable", ignore_index=True)
    table = table.iloc[::-1].reset_index(drop=True)
    better, worse = table[table["low"] > 0]["class"], table[table["high"] < 0]["class"]
    sentence = "The two networks do not measurably differ on any class."
    if len(better) or len(worse):
        sentence = f"The first network is better on {_named(better)}, and the second on {_named(worse)}."
    method = (
        "Difference in accuracy on the images of each class, the first network minus the second. The intervals hold at 95% for all "
        "classes together (Agresti and Min 2005, with Bonferroni's correction)."
    )
    half = DRAWN // 2
    drawn = table if len(table) <= DRAWN else table.iloc[[*range(half), *range(len(table) - half, len(table))]]
    if len(drawn) < len(table):
        method += (
            f" The chart shows the {half} classes with the largest differences either way; the table has them all."
        )
    chart = partial(difference_dots, drawn.rename(columns={"class": "name"}), "difference in accuracy")
    return Finding(f"difference-by-class-{first.part}", "chart of differences", sentence, chart, table, method)


def _named(classes: Iterable[str]) -> str:
    """Return "no class", "cat and dog", or "cat, dog, eel and 2 more"."""
    names = list(classes)
    more = [f"{len(names) - NAMED} more"] if len(names) > NAMED else []
    return listed([*names[:NAMED], *more]) if names else "no class"
