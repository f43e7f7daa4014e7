"""What a trained network relies on: its accuracy with other routing policies, and without each expert."""

from functools import partial

import pandas as pd

from expertnet.charts.effects import change_dots, weight_and_effect
from expertnet.charts.heatmaps import difference_heatmap
from expertnet.findings.finding import Finding, cached, in_words, lowest
from expertnet.routing.ablations import DEAD_FLIPS, ablation_table, class_effects, costly, gaining
from expertnet.routing.effects import AVERAGED, KINDS, SHUFFLES, Ablations, Routings
from expertnet.routing.paired import DRAWS, paired_change
from expertnet.routing.passes import ESTIMATED_ON
from expertnet.routing.policies import policy_table
from expertnet.routing.weights import HARDLY_USED
from expertnet.utils.text import bounds, counted, listed, percent, points, signed

TELLING = 0.1  # width of an interval above which it says too little
NAMED = 4  # experts named in a sentence
NORMS = (
    "After each change, the batch norms behind it are estimated again: their means and variances are taken from "
    f"{ESTIMATED_ON} training images, augmented as in training (or from all, if they are fewer). The unchanged network that it is "
    "compared with has re-estimated batch norms, too. “As shipped” is the same change without that, so it includes the mismatch "
    "between the batch norms and the changed routing (Wu and Johnson 2021, arXiv:2105.07576)."
)
RELIES = (
    "This says what the trained network relies on. Whether routing improves a network can only be said after networks without it "
    "have been trained, too."
)
DOING = {"zero": "Switching off", "mean": "Replacing by its mean"}
HOW = {
    "zero": "The expert's weight is set to 0, and the other weights grow in proportion to sum to 1.",
    "mean": "What the expert adds to the block's output (its weight times its output) is replaced by the mean of this over training "
    "images, the same for every image (mean-ablation, Wang 2022, arXiv:2211.00593). The other weights stay as they are. This "
    "takes away what the expert says about an image, but leaves the scale of the block's output.",
}
# names of files in reports; those of earlier versions had other meanings
FILES = {"zero": "switched-off", "mean": "replaced-by-mean"}


@cached
def policies(effects: Routings) -> Finding:
    """Say whether the network relies on the routing of single images, and compare its accuracy under all policies."""
    table = policy_table(effects)
    mean = dict(zip(table, table[table["policy"] == "mean"].to_numpy()[0], strict=True))
    interval, shipped = bounds(mean["low"], mean["high"]), signed(mean["as_shipped"])
    changes = (  # short, since a phone shows an image and its weights below
        f"mean weights change its accuracy on the {effects.part} images by {signed(mean['change'])} points (95%: {interval}; as "
        f"shipped: {shipped})."
    )
    if mean["high"] < 0:
        sentence = f"The network relies on per-image routing: {changes}"
    elif mean["low"] > 0:
        sentence = f"The network is better without per-image routing: {changes}"
    elif mean["high"] - mean["low"] > TELLING:
        count = len(effects.labels)
        sentence = f"{count:,} images are too few to tell whether the network relies on per-image routing: {changes}"
    else:
        sentence = f"The network does not measurably rely on per-image routing: {changes}"
    method = (
        f"The change in accuracy on the same {len(effects.labels):,} {effects.part} images from the network's own routing (the line), "
        "in points. Each image is compared with itself, and the 95% interval is that of Agresti and Min (2005), which holds for "
        f"few changes, too. The mean weights are those of at most {AVERAGED:,} training images, as are the mean weights of each "
        "class. A network does not know the true class. The weights of another image are drawn "
        f"{SHUFFLES} times (as shipped, once); the dot is the mean of the draws, and the line goes from the lowest to the highest. "
        "They do damage of their own, since they can be the opposite of an image's own. "
        f"{NORMS} {RELIES}"
    )
    drawn, described = (
        table[table["policy"] != "learned"],
        "Change in accuracy under each routing policy, with intervals",
    )
    chart = partial(change_dots, drawn, described)
    return Finding("routings", "chart of ways to route", sentence, chart, table, method)


@cached
def ablation(effects: Ablations, kind: str, blocks: tuple[int, ...]) -> Finding:
    """Compare the loss of accuracy without each expert of these blocks with the expert's mean weight.

    `kind` is one of KINDS.
    """
    table = ablation_table(effects, kind, blocks)
    others = [name for name in list(KINDS)[: len(effects.changed)] if name != kind]
    for other in others:
        beside = ablation_table(effects, other, blocks)["change"]
        table.insert(list(table).index("as_shipped") + 1, _column(other), beside)
    in_table = "".join(f"{KINDS[other]} is the change if the expert is {KINDS[other]} instead, " for other in others)
    if kind == "mean":  # which is not measured as shipped
        table = table.drop(columns="as_shipped")
    method = (
        f"{HOW[kind]} The change in accuracy on {len(effects.labels):,} {effects.part} images is from the network's own routing, and "
        "compares each image with itself. The intervals, from low to high, are those of Agresti and Min (2005) with Bonferroni's "
        "correction: at 95% for all experts together. p is the probability that chance alone makes any expert's effect as large, by "
        f"{DRAWS} random flips of the images' signs (maxT, Westfall and Young 1993). An expert costs accuracy if its p is at most "
        "0.05; its interval is more cautious and may hold 0. It costs the most if the interval of its difference from the next one "
        "excludes 0, which needs no correction (Hung and Fithian 2019). In the chart, 2.1 is expert 1 of block 2. In the table, "
        f"weight is the expert's mean weight, {in_table}and flipped "
        "counts the images that get another class. An expert is dead if its utilization (K times its mean weight) is below "
        f"{HARDLY_USED} and at most {percent(DEAD_FLIPS)} of the images get another class. {_correlation(table)}{NORMS}"
    )
    sentence = f"{_cost(effects, kind, table)} {_dead(table[table['dead']])}"
    title = f"chart of experts {KINDS[kind]}"
    chart = partial(weight_and_effect, table, KINDS[kind])
    shares = ("change", "low", "high", "as_shipped", "accuracy", *map(_column, others))
    return Finding(FILES[kind], title, sentence, chart, table, method, shares)


def _column(kind: str) -> str:
    return KINDS[kind].replace(" ", "_")


def _cost(effects: Ablations, kind: str, table: pd.DataFrame) -> str:
    """Say which expert costs the most, as far as the data show, without which ones the network is better, and where none matters."""
    worst, won, doing = costly(table), gaining(table), DOING[kind]
    images, better = f"the {len(effects.labels):,} {effects.part} images", _better(won, kind)
    if worst.empty:
        most = f"costs at most {points(min(table['low'].min(), 0.0))}"
        if better:
            return f"{doing} any single expert {most} on {images} (95% for all experts together).{better}"
        return f"{doing} any single expert makes no measurable difference on {images}: it {most} (95% for all experts together)."
    first = worst.iloc[0]
    costs, lost = f"{doing} {_place(first)} costs", f"{points(first['change'])} on {images}"
    following = table.drop(worst.index[0]).sort_values("change", kind="stable")  # chance may explain a larger loss
    if following.empty or _told_apart(effects, kind, first, following.iloc[0]):
        sentence = f"{costs} the most accuracy: {lost}."
    else:
        other = following.iloc[0]
        change = f"{signed(other['change'])} points"  # which may be a gain
        sentence = f"{costs} {lost}, which is indistinguishable from the change for {_place(other)} ({change})."
    rest = [block for block in dict.fromkeys(table["block"]) if block not in {*worst["block"], *won["block"]}]
    if not rest:
        return f"{sentence}{better}"
    return (
        f"{sentence} In {in_words(rest)}, no expert matters: any single one can be "
        f"{KINDS[kind]} without a measurable loss, which is not to say that all of them can.{better}"
    )


def _better(won: pd.DataFrame, kind: str) -> str:
    """Name the experts whose ablation raises the accuracy, after a space; "" if there are none."""
    places = [_place(row) for _, row in won.iterrows()]
    more = [f"{len(places) - NAMED} more"] if len(places) > NAMED else []
    apart = ", one at a time" if len(places) > 1 else ""
    return f" The network is better with {listed([*places[:NAMED], *more])} {KINDS[kind]}{apart}." if places else ""


def _told_apart(effects: Ablations, kind: str, first: pd.Series, second: pd.Series) -> bool:
    """Return whether the expert of one row costs more than that of another one, beyond chance."""
    without, other = (effects.without(kind, int(row["block"]), int(row["expert"])) for row in (first, second))
    return paired_change(effects.labels, other, without)["high"] < 0


def _place(row: pd.Series) -> str:
    return f"expert {row['expert']:.0f} of block {row['block']:.0f}"


def _dead(table: pd.DataFrame) -> str:
    """Say how many experts are dead, and which."""
    if table.empty:
        return "No expert is dead."
    places = [f"block {block}, expert {expert}" for block, expert in zip(table["block"], table["expert"], strict=True)]
    more = [f"and {len(places) - NAMED} more"] if len(places) > NAMED else []
    return f"{counted(len(places), 'dead expert')}: {'; '.join([*places[:NAMED], *more])}."


def _correlation(table: pd.DataFrame) -> str:
    """Say how weight and loss of accuracy correlate, or "" if either is constant."""
    ranks = table[["weight", "change"]].rank()  # Spearman's correlation is that of the ranks
    if len(table) < 3 or (ranks.nunique() == 1).any():
        return ""
    return (
        f"Mean weight and loss of accuracy have a rank correlation (Spearman) of {-ranks['weight'].corr(ranks['change']):.2f}: "
        "1 means that both order the experts the same way, and 0 that the orders are unrelated. "
    )


@cached
def ablation_by_class(effects: Ablations, kind: str, classes: tuple[str, ...], block: int) -> Finding:
    """Show the change in accuracy on each class without each expert of a block."""
    table = class_effects(effects, kind, classes)
    here = table[table["block"] == block]
    worst = lowest(here, "change")
    size = int((effects.labels == classes.index(worst["class"])).sum())
    sentence = (
        f"In block {block}, class {worst['class']} loses the most without expert {worst['expert']:.0f}: "
        f"{percent(-worst['change'])} of its {counted(size, 'image')}."
        if worst["change"] < 0
        else f"No class loses accuracy when an expert of block {block} is {KINDS[kind]}."
    )
    method = (
        f"Change in accuracy on each class's {effects.part} images when the expert is {KINDS[kind]}. These are the data themselves, "
        f"without intervals: a class with few images can lose some by chance. {HOW[kind]} {NORMS}"
    )
    chart = partial(difference_heatmap, here, "class", "change", "change in accuracy", shares=True)
    return Finding(
        f"{FILES[kind]}-by-class-block-{block}", "heat map of losses by class", sentence, chart, here, method
    )
