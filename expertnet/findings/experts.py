"""How much each expert is used, and for what."""

from __future__ import annotations

import math

import pandas as pd

from expertnet.charts.routing import (
    entropy_pairs,
    expert_bars,
)
from expertnet.findings.finding import Finding, cached, highest, lowest
from expertnet.routing.information import LOW, UNUSED
from expertnet.routing.lab import Lab
from expertnet.routing.specialization import NOTABLE
from expertnet.utils.text import amount, percent

ALIKE = "Every expert is used its fair share."


@cached
def utilization(lab: Lab) -> Finding:
    table = lab.experts
    most, least = highest(table, "utilization"), lowest(table, "utilization")
    sentence = (
        f"Expert {most['expert']:.0f} of block {most['block']:.0f} is used most, {most['utilization']:.2f} times a fair share; expert "
        f"{least['expert']:.0f} of block {least['block']:.0f} least, {least['utilization']:.2f} times."
        if most["utilization"] - least["utilization"] >= 0.005
        else ALIKE
    )
    method = (
        "Utilization is K times the mean weight over the test set, so 1 is a fair share (the line); the tick is the share "
        "of images in which the expert weighs most, on the same scale."
    )
    return Finding("utilization", sentence, expert_bars(table), table, method)


@cached
def entropies(lab: Lab) -> Finding:
    table = lab.blocks[["block", "verdict", "entropy_of_mean", "mean_entropy"]]
    table = table.assign(verdict=table["verdict"].str.split(":").str[0])
    counts = table["verdict"].value_counts()
    sentence = (
        "Blocks by what their routing does: " + ", ".join(f"{word} ({count})" for word, count in counts.items()) + "."
    )
    method = (
        "Entropy of the mean routing, and the mean of the images' own entropies, as shares of "
        f"ln K = {amount(math.log(lab.num_experts), 'nats')}. "
        f"Both under {percent(LOW, 0)}: collapse, nearly every image goes to the same expert. Only the second: decisive and varied, "
        f"images choose, and choose differently. The second over {percent(UNUSED, 0)}: routing unused. Else soft: images lean to "
        "some experts and use the others too."
    )
    chart = entropy_pairs(table, lab.num_experts)
    nats = {name: f"{name} (nats)" for name in ("entropy_of_mean", "mean_entropy")}
    return Finding("entropies", sentence, chart, table.rename(columns=nats), method)


def _named_first(column: pd.Series) -> pd.Series:
    return column != "" if column.name == "class" else column


@cached
def specializations(lab: Lab) -> Finding:
    table = lab.specializations.sort_values(["class", "ratio"], ascending=[False, False], key=_named_first)
    named = table[table["class"] != ""]
    are = "is" if len(named) == 1 else "are"
    sentence = (
        f"{len(named)} of {len(table)} experts {are} weighed most by the same class in both halves of the test set."
    )
    method = (
        "The class is chosen on one half of the test images and named only if the other half says the same and "
        f"gives it at least {NOTABLE} times the expert's mean weight, which is the ratio."
    )
    return Finding("specializations", sentence, None, table, method)
