"""The figures of the routing lab: a chart, its table, one sentence on what is seen and one on how it was computed.

In this module: Figure, and a function for each figure but those of changed routing, which are in effect_figures.py. The pages
show what is made here, and report.py writes it to files.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import pandas as pd

from expertnet.charts.base import specification
from expertnet.charts.routing import (
    block_curves,
    class_heatmap,
    entropy_pairs,
    expert_bars,
    information_bars,
    interval_dots,
    scatter,
)
from expertnet.routing.information import DRAWS, LOW, UNUSED, training_table
from expertnet.routing.lab import Lab, sample
from expertnet.routing.specialization import NOTABLE
from expertnet.routing.usage import utilization_table
from expertnet.utils.text import amount, percent

POINTS = 2000  # pictures drawn in two dimensions; more would only hide one another
ALIKE = "Every expert is used its fair share."
Chart = Any  # any of Altair's


@dataclass(frozen=True)
class Figure:
    name: str  # of its files
    seen: str  # one sentence: what is seen
    chart: Chart | None
    table: pd.DataFrame
    how: str  # one sentence: how it was computed, and the source

    @cached_property
    def spec(self) -> dict[str, Any] | None:
        """The chart as a page draws it."""
        return None if self.chart is None else specification(self.chart)


made_once = lru_cache(maxsize=16)  # as many as open_lab keeps; Lab and Effects are the same objects for the same files


def highest(table: pd.DataFrame, column: str) -> pd.Series:
    return table.iloc[int(table[column].argmax())]


def lowest(table: pd.DataFrame, column: str) -> pd.Series:
    return table.iloc[int(table[column].argmin())]


# --- classes ---------------------------------------------------------------------------------------------------------


@made_once
def classes(lab: Lab, block: int, select: str | None = None) -> Figure:
    table = lab.by_class[lab.by_class["block"] == block]
    spread = table.groupby("expert")["weight"].agg(lambda column: column.max() - column.min())
    expert = int(spread.to_numpy().argmax()) + 1
    mine = table[table["expert"] == expert].set_index("class")["weight"]
    seen = (
        f"In block {block}, classes differ most in the weight of expert {expert}: {mine.max():.2f} on the mean for "
        f"{mine.idxmax()}, {mine.min():.2f} for {mine.idxmin()}."
        if mine.max() - mine.min() >= 0.005
        else f"In block {block}, all classes are routed alike on the mean."
    )
    how = f"Mean routing weights over each class's test pictures ({lab.count:,} in all); rows are {lab.row_order}."
    return Figure(f"classes-block-{block}", seen, class_heatmap(table, block, select), table, how)


@made_once
def information(lab: Lab) -> Figure:
    table = lab.blocks[["block", "information", "chance", "chance_high"]]
    best, above = highest(table, "information"), len(_telling(lab))
    seen = (
        f"The routing of block {best['block']:.0f} tells most about the class, {amount(best['information'], 'bits')}; {above} of "
        f"{len(table)} blocks tell{'s' * (above == 1)} more than chance would."
        if above
        else "The routing tells nothing about the class, or no more than chance would."
    )
    how = (
        "Mutual information between the class and an expert drawn by the picture's weights: H(mean a) minus the mean over classes of "
        f"H(mean a given the class), in bits. The tick is passed by chance in any of the blocks with a probability of 5 %, by {DRAWS} "
        "permutations of the labels: it is corrected for the number of blocks (Westfall and Young's maxT)."
    )
    return Figure("information", seen, information_bars(table), table, how)


def _telling(lab: Lab) -> list[int]:
    """The blocks whose routing tells more about the class than chance would."""
    return lab.blocks[lab.blocks["information"] > lab.blocks["chance_high"]]["block"].tolist()


@made_once
def plane(lab: Lab, select: str | None = None) -> Figure:
    table, explained = lab.points
    seen = (
        f"Each dot is a test picture, placed by its {lab.num_blocks * lab.num_experts} routing weights: dots that lie close are routed "
        "alike, so clouds of one colour are classes with a route of their own."
    )
    how = (
        f"Principal components of the routing weights of all {lab.count:,} test pictures"
        + (f"; {POINTS:,} of them are drawn, chosen at random." if lab.count > POINTS else ".")
        + " Which is up and which is left means nothing."
    )
    drawn = table.iloc[sample(POINTS, lab.count)]
    return Figure("plane", seen, scatter(drawn, explained, select), table, how)


@made_once
def mistakes(lab: Lab) -> Figure | None:
    """None where the network makes no mistakes."""
    table = lab.mistakes
    if table.empty:
        return None
    wrong, compared = int((lab.routed.labels != lab.routed.predictions).sum()), int(table["mistakes"].max())
    left = f"those whose own and other class both have rightly classified pictures ({compared:,}): "
    how = (
        f"Of the pictures that were classified wrongly ({wrong:,}), {left if compared < wrong else ''}the share whose weights lie nearer "
        "(total variation) to the mean of the class they were taken for than to that of their own; means over pictures "
        "classified rightly, Wilson's intervals of 95 % for all blocks together (Bonferroni); the line at one half is no "
        "preference. Only blocks that tell more about the class than chance would are named."
    )
    chart = interval_dots(table, "block", "share", "share of the mistakes", rule=0.5, whole=True)
    return Figure("mistakes", _routed_like(table, _telling(lab)), chart, table, how)


def _routed_like(table: pd.DataFrame, telling: list[int]) -> str:
    """Which of two classes mistakes are routed like, as far as it can be told (mistakes_table)."""
    if not telling:
        return "The routing tells nothing about the class, so it cannot tell which one a mistake is routed like."
    table = table[table["block"].isin(telling)]
    taken, own = "the class they were taken for", "their own class"
    for clear, more, less in ((table["low"] > 0.5, taken, own), (table["high"] < 0.5, own, taken)):
        blocks = table[clear]["block"].tolist()
        if blocks:
            where = f"block{'s' * (len(blocks) > 1)} {', '.join(map(str, blocks))}"
            return f"Mistakes route like {more}, more than like {less}, in {where} (beyond doubt at 95 %)."
    count = int(table["mistakes"].max())
    return (
        f"Whether mistakes route like {taken} or like {own} cannot be told from {count:,} mistake{'s' * (count != 1)}."
    )


# --- experts ---------------------------------------------------------------------------------------------------------


@made_once
def utilization(lab: Lab) -> Figure:
    table = lab.experts
    most, least = highest(table, "utilization"), lowest(table, "utilization")
    seen = (
        f"Expert {most['expert']:.0f} of block {most['block']:.0f} is used most, {most['utilization']:.2f} times a fair share; expert "
        f"{least['expert']:.0f} of block {least['block']:.0f} least, {least['utilization']:.2f} times."
        if most["utilization"] - least["utilization"] >= 0.005
        else ALIKE
    )
    how = (
        "Utilization is K times the mean weight over the test set, so 1 is a fair share (the line); the tick is the share "
        "of pictures in which the expert weighs most, on the same scale."
    )
    return Figure("utilization", seen, expert_bars(table), table, how)


@made_once
def entropies(lab: Lab) -> Figure:
    table = lab.blocks[["block", "verdict", "entropy_of_mean", "mean_entropy"]]
    table = table.assign(verdict=table["verdict"].str.split(":").str[0])
    counts = table["verdict"].value_counts()
    seen = (
        "Blocks by what their routing does: " + ", ".join(f"{word} ({count})" for word, count in counts.items()) + "."
    )
    how = (
        "Entropy of the mean routing, and the mean of the pictures' own entropies, as shares of "
        f"ln K = {amount(math.log(lab.num_experts), 'nats')}. "
        f"Both under {percent(LOW, 0)}: collapse, nearly every picture goes to the same expert. Only the second: decisive and varied, "
        f"pictures choose, and choose differently. The second over {percent(UNUSED, 0)}: routing unused. Else soft: pictures lean to "
        "some experts and use the others too."
    )
    chart = entropy_pairs(table, lab.num_experts)
    nats = {name: f"{name} (nats)" for name in ("entropy_of_mean", "mean_entropy")}
    return Figure("entropies", seen, chart, table.rename(columns=nats), how)


def _named_first(column: pd.Series) -> pd.Series:
    return column != "" if column.name == "class" else column


@made_once
def specializations(lab: Lab) -> Figure:
    table = lab.specializations.sort_values(["class", "ratio"], ascending=[False, False], key=_named_first)
    named = table[table["class"] != ""]
    are = "is" if len(named) == 1 else "are"
    seen = f"{len(named)} of {len(table)} experts {are} weighed most by the same class in both halves of the test set."
    how = (
        "The class is chosen on one half of the test pictures and named only if the other half says the same and "
        f"gives it at least {NOTABLE} times the expert's mean weight, which is the ratio."
    )
    return Figure("specializations", seen, None, table, how)


# --- through training ------------------------------------------------------------------------------------------------

_CURVES = (  # name, what it is called, its unit, what it means
    ("entropy_of_mean", "entropy of the mean routing", "nats", "Low where the same experts serve all pictures."),
    ("mean_entropy", "mean entropy of the pictures' own routing", "nats", "Low where each picture has its expert."),
    (
        "information",
        "information about the class",
        "bits",
        "Mutual information between the class and an expert drawn by the weights.",
    ),
)


def through_training(metrics: Sequence[dict[str, Any]], watched: str) -> list[Figure]:
    """Both entropies and the information of each block over epochs, from the lines of metrics.jsonl.

    `watched` says what they were measured on: "validation pictures", or "test set".
    """
    table = training_table(metrics)
    figures = []
    for name, title, unit, means in _CURVES:
        if not table.empty:
            mean = table.groupby("epoch")[name].mean()
            first, last = (amount(value, unit) for value in (mean.iloc[0], mean.iloc[-1]))
            went = f"went from {first} to {last} between epochs {mean.index[0]} and {mean.index[-1]}"
            as_before = f", as after epoch {mean.index[0]}" if len(mean) > 1 else ""
            stayed = f"is {last} after epoch {mean.index[-1]}{as_before}"
            seen = f"The {title} {stayed if first == last else went}, on the mean of the blocks."
            chart = block_curves(table, name, f"{title} ({unit})", "block")
            figures.append(
                Figure(
                    f"training-{name.replace('_', '-')}",
                    seen,
                    chart,
                    table[["epoch", "block", name]],
                    f"{means} {_measured(watched)}",
                )
            )
    return figures


def _measured(watched: str) -> str:
    return f"Measured on the {watched} after every epoch."


def training_utilization(metrics: Sequence[dict[str, Any]], block: int, watched: str) -> Figure | None:
    """How much each expert of a block is used, over epochs."""
    table = utilization_table(metrics)
    table = table[table["block"] == block]
    if table.empty:
        return None
    last = table[table["epoch"] == table["epoch"].max()].set_index("expert")["utilization"]
    seen = (
        f"At the end expert {last.idxmax()} of block {block} is used {last.max():.2f} times a fair share, expert {last.idxmin()} "
        f"{last.min():.2f} times."
        if last.max() - last.min() >= 0.005
        else ALIKE
    )
    chart = block_curves(table, "utilization", "utilization", "expert")
    return Figure(
        f"training-utilization-block-{block}",
        seen,
        chart,
        table,
        f"Utilization is K times the mean weight. {_measured(watched)}",
    )
