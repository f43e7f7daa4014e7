"""What switching off experts, and other ways to route, do to the accuracy on the test set."""

from functools import partial

import pandas as pd

from expertnet.charts.heatmaps import difference_heatmap
from expertnet.charts.routing import interval_dots, weight_and_effect
from expertnet.findings.finding import Finding, cached, lowest
from expertnet.routing.ablations import DEAD_FLIPS, ablation_table, class_effects
from expertnet.routing.effects import Effects
from expertnet.routing.lab import Lab
from expertnet.routing.policies import policy_table
from expertnet.routing.weights import HARDLY_USED
from expertnet.utils.text import counted, percent, points

NAMED = 4  # dead experts named in a sentence
NORMS = "The batch norms rescale values by statistics of the network's own routing. The results include that mismatch."


@cached
def ablation(effects: Effects, lab: Lab, renormalize: bool) -> Finding:
    """Compare the loss of accuracy without each expert with the expert's mean weight."""
    table = ablation_table(effects, lab.experts)
    worst = lowest(table, "change")
    cost = (
        f"Switching off expert {worst['expert']:.0f} of block {worst['block']:.0f} costs the most accuracy: "
        f"{points(worst['change'])}."
        if worst["change"] < 0
        else "Switching off any single expert costs no accuracy."
    )
    method = (
        f"The expert's weight is set to 0, and the other weights {'grow to sum to 1' if renormalize else 'stay as they are'}. "
        "The change in accuracy is from the network's own routing. Its 95% interval, from low to high, compares each image with itself. "
        "In the chart, 2.1 is expert 1 of block 2. In the table, weight is the expert's mean weight, flipped counts the images "
        "that get another class, and first is the share of images in which the expert has the largest weight. An expert is dead "
        f"if its utilization (K times its mean weight) is below {HARDLY_USED} and at most {percent(DEAD_FLIPS)} of the images get "
        f"another class. {_correlation(table)}{NORMS}"
    )
    # names of files in earlier reports
    name = "silencing-renormalised" if renormalize else "silencing"
    sentence = f"{cost} {_dead(table[table['dead']])}"
    return Finding(name, "chart of switched-off experts", sentence, partial(weight_and_effect, table), table, method)


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
def ablation_by_class(effects: Effects, lab: Lab, block: int) -> Finding:
    """Show the change in accuracy on each class without each expert of a block."""
    table = class_effects(effects, lab.classes)
    here = table[table["block"] == block]
    worst = lowest(here, "change")
    sentence = (
        f"In block {block}, class {worst['class']} loses the most without expert {worst['expert']:.0f}: "
        f"{percent(-worst['change'])} of its images."
        if worst["change"] < 0
        else f"No class loses accuracy when an expert of block {block} is switched off."
    )
    method = f"Change in accuracy on each class's test images when the expert is switched off. {NORMS}"
    chart = partial(difference_heatmap, here, "class", "change", "change in accuracy", shares=True)
    name = f"silencing-by-class-block-{block}"
    return Finding(name, "heat map of losses by class", sentence, chart, here, method)


@cached
def policies(effects: Effects) -> Finding:
    """Compare the accuracy of all policies, and say whether per-image routing matters."""
    table = policy_table(effects)
    by_name = table.set_index("policy")
    learned, shuffled = (by_name.loc[policy].to_dict() for policy in ("learned", "shuffled"))
    both = f"accuracy is {percent(shuffled['accuracy'])} with another image's weights and {percent(learned['accuracy'])} with its own."
    if shuffled["high"] < 0:
        sentence = (
            "Per-image routing makes a measurable difference on this test set: with another image's weights, accuracy falls by "
            f"{points(shuffled['change'])} to {percent(shuffled['accuracy'])}."
        )
    elif shuffled["low"] > 0:
        sentence = f"Per-image routing brings no gain on this test set: {both}"
    else:
        sentence = f"Per-image routing makes no measurable difference on this test set: {both}"
    method = (
        f"Accuracy on the same {len(effects.labels):,} test images. The 95% intervals are of the difference from the network's own "
        "routing (the line), and compare each image with itself. The weights of the true class need labels, which a network does "
        f"not have. {NORMS}"
    )
    shift = table["accuracy"] - table["change"]  # the learned accuracy, around which differences are drawn
    shown = table.assign(low=shift + table["low"], high=shift + table["high"])
    axis, own = "accuracy (line: own routing)", learned["accuracy"]
    chart = partial(interval_dots, shown, "routing", "accuracy", axis, rule=own)
    return Finding("routings", "chart of six ways to route", sentence, chart, table, method)
