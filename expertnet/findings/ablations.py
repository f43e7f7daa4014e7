"""The findings of changed routing: what becomes of the test set's accuracy.

In this module: policies, silencing and ablation_by_class, each a Finding as those of findings.py.
"""

from __future__ import annotations

import pandas as pd

from expertnet.charts.ablations import weight_and_effect
from expertnet.charts.heatmaps import difference_heatmap
from expertnet.findings.finding import Finding, cached, lowest
from expertnet.routing.ablations import DEAD_BELOW, DEAD_FLIPS, ablation_table, class_effects
from expertnet.routing.effects import Effects
from expertnet.routing.lab import Lab
from expertnet.utils.text import percent, points

NAMED = 4  # dead experts that a sentence names
NORMS = "The batch norms keep the statistics of the learned routing, so the findings include that mismatch."


@cached
def ablation(effects: Effects, lab: Lab, renormalise: bool) -> Finding:
    table = ablation_table(effects, lab.experts)
    worst = lowest(table, "change")
    ranks = table[["weight", "change"]].rank()  # Spearman's correlation is that of the ranks
    correlation = -ranks["weight"].corr(ranks["change"]) if len(table) > 2 and (ranks.nunique() > 1).all() else None
    sentence = (
        (
            f"Silencing expert {worst['expert']:.0f} of block {worst['block']:.0f} costs most, {points(worst['change'])} of accuracy; "
            if worst["change"] < 0
            else "Silencing any one expert costs nothing; "
        )
        + _dead(table[table["dead"]])
        + (f"; weight and loss have a rank correlation of {correlation:.2f}." if correlation is not None else ".")
    )
    method = (
        f"The expert's weight is set to 0, and the others {'grow to sum to 1' if renormalise else 'stay as they are'}; "
        "2.1 is expert 1 of block 2. Weight: the expert's mean; change: of the accuracy, with the interval of 95% of the paired "
        "difference from low to high; flipped: images that get another class; first: the share of images in which the expert "
        "weighs most. Dead: utilization under "
        f"{DEAD_BELOW} and no more than {percent(DEAD_FLIPS)} of the images changed. {NORMS}"
    )
    name = "silencing-renormalised" if renormalise else "silencing"
    return Finding(name, sentence, weight_and_effect(table), table, method)


def _dead(table: pd.DataFrame) -> str:
    """How many experts are dead, and which."""
    if table.empty:
        return "no expert is dead"
    places = [f"block {block}, expert {expert}" for block, expert in zip(table["block"], table["expert"], strict=True)]
    more = [f"and {len(places) - NAMED} more"] if len(places) > NAMED else []
    counted = f"{len(places)} {'expert is' if len(places) == 1 else 'experts are'} dead"
    return f"{counted} ({'; '.join([*places[:NAMED], *more])})"


@cached
def ablation_by_class(effects: Effects, lab: Lab, block: int) -> Finding:
    table = class_effects(effects, lab.classes)
    here = table[table["block"] == block]
    worst = lowest(here, "change")
    name = str(worst["class"])
    sentence = (
        f"In block {block} the class {name} loses most without expert {worst['expert']:.0f}: "
        f"{percent(-worst['change'])} of its images."
        if worst["change"] < 0
        else f"No class loses by the silencing of an expert of block {block}."
    )
    method = f"Change of the accuracy on the test images of each class when the expert is silenced. {NORMS}"
    chart = difference_heatmap(here, "class", "change", "change of the accuracy", shares=True)
    return Finding(f"silencing-by-class-block-{block}", sentence, chart, here, method)
