"""How classes are routed."""

from __future__ import annotations

import pandas as pd
import torch

from expertnet.charts.heatmaps import class_heatmap
from expertnet.charts.routing import (
    information_bars,
    interval_dots,
    scatter,
)
from expertnet.findings.finding import Finding, cached, highest
from expertnet.routing.information import DRAWS
from expertnet.routing.lab import Lab
from expertnet.utils.text import amount

POINTS = 2000  # images drawn in two dimensions; more would only hide one another


@cached
def classes(lab: Lab, block: int, select: str | None = None) -> Finding:
    table = lab.by_class[lab.by_class["block"] == block]
    spread = table.groupby("expert")["weight"].agg(lambda column: column.max() - column.min())
    expert = int(spread.to_numpy().argmax()) + 1
    mine = table[table["expert"] == expert].set_index("class")["weight"]
    sentence = (
        f"In block {block}, classes differ most in the weight of expert {expert}: {mine.max():.2f} on the mean for "
        f"{mine.idxmax()}, {mine.min():.2f} for {mine.idxmin()}."
        if mine.max() - mine.min() >= 0.005
        else f"In block {block}, all classes are routed alike on the mean."
    )
    method = f"Mean routing weights over each class's test images ({lab.count:,} in all); rows are {lab.row_order}."
    return Finding(f"classes-block-{block}", sentence, class_heatmap(table, block, select), table, method)


@cached
def information(lab: Lab) -> Finding:
    table = lab.blocks[["block", "information", "chance", "chance_high"]]
    best, above = highest(table, "information"), len(_telling(lab))
    sentence = (
        f"The routing of block {best['block']:.0f} tells most about the class, {amount(best['information'], 'bits')}; {above} of "
        f"{len(table)} blocks tell{'s' * (above == 1)} more than chance would."
        if above
        else "The routing tells nothing about the class, or no more than chance would."
    )
    method = (
        "Mutual information between the class and an expert drawn by the image's weights: H(mean a) minus the mean over classes of "
        f"H(mean a given the class), in bits. The tick is passed by chance in any of the blocks with a probability of 5%, by {DRAWS} "
        "permutations of the labels: it is corrected for the number of blocks (Westfall and Young's maxT)."
    )
    return Finding("information", sentence, information_bars(table), table, method)


def _telling(lab: Lab) -> list[int]:
    """The blocks whose routing tells more about the class than chance would."""
    return lab.blocks[lab.blocks["information"] > lab.blocks["chance_high"]]["block"].tolist()


@cached
def plane(lab: Lab, select: str | None = None) -> Finding:
    table, explained = lab.points
    sentence = (
        f"Each dot is a test image, placed by its {lab.num_blocks * lab.num_experts} routing weights: dots that lie close are routed "
        "alike, so clouds of one colour are classes with a route of their own."
    )
    method = (
        f"Principal components of the routing weights of all {lab.count:,} test images"
        + (f"; {POINTS:,} of them are drawn, chosen at random." if lab.count > POINTS else ".")
        + " Which is up and which is left means nothing."
    )
    drawn = table.iloc[sample(POINTS, lab.count)]
    return Finding("plane", sentence, scatter(drawn, explained, select), table, method)


def sample(count: int, of_all: int, seed: int = 0) -> list[int]:
    """Numbers of at most `count` things out of all, the same ones every time, in their order."""
    order = torch.randperm(of_all, generator=torch.Generator().manual_seed(seed))[:count]
    return sorted(order.tolist())


@cached
def mistakes(lab: Lab) -> Finding | None:
    """None where the network makes no mistakes."""
    table = lab.mistakes
    if table.empty:
        return None
    wrong, compared = int((lab.routed.labels != lab.routed.predictions).sum()), int(table["mistakes"].max())
    left = f"those whose own and other class both have rightly classified images ({compared:,}): "
    method = (
        f"Of the images that were classified wrongly ({wrong:,}), {left if compared < wrong else ''}the share whose weights lie nearer "
        "(total variation) to the mean of the class they were taken for than to that of their own; means over images "
        "classified rightly, Wilson's intervals of 95% for all blocks together (Bonferroni); the line at one half is no "
        "preference. Only blocks that tell more about the class than chance would are named."
    )
    chart = interval_dots(table, "block", "share", "share of the mistakes", rule=0.5, whole=True)
    return Finding("mistakes", _routed_like(table, _telling(lab)), chart, table, method)


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
            return f"Mistakes route like {more}, more than like {less}, in {where} (beyond doubt at 95%)."
    count = int(table["mistakes"].max())
    return (
        f"Whether mistakes route like {taken} or like {own} cannot be told from {count:,} mistake{'s' * (count != 1)}."
    )
