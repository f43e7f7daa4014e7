"""How classes are routed, and which class mistakes are routed like."""

from functools import partial

import pandas as pd
import torch

from expertnet.charts.heatmaps import class_heatmap
from expertnet.charts.routing import information_bars, interval_dots, scatter
from expertnet.findings.finding import Finding, cached, highest
from expertnet.routing.information import DRAWS
from expertnet.routing.lab import Lab
from expertnet.utils.text import amount, counted

POINTS = 2000  # images drawn in two dimensions; more would only cover one another


@cached
def classes(lab: Lab, block: int, highlighted: str | None = None) -> Finding:
    """Show each class's mean weights in a block, with a frame around the row of one class."""
    table = lab.by_class[lab.by_class["block"] == block]
    spread = table.groupby("expert")["weight"].agg(lambda column: column.max() - column.min())
    expert = int(spread.to_numpy().argmax()) + 1
    weight = table[table["expert"] == expert].set_index("class")["weight"]
    sentence = (
        f"In block {block}, classes differ most in the weight of expert {expert}: on average {weight.max():.2f} for "
        f"{weight.idxmax()} and {weight.min():.2f} for {weight.idxmin()}."
        if weight.max() - weight.min() >= 0.005
        else f"In block {block}, all classes are routed the same way on average."
    )
    method = (
        f"Mean routing weights over each class's test images ({lab.count:,} images in all). Rows are {lab.row_order}."
    )
    chart = partial(class_heatmap, table, block, highlighted)
    return Finding(f"classes-block-{block}", "class heat map", sentence, chart, table, method)


@cached
def information(lab: Lab) -> Finding:
    """Compare what each block's routing says about the class with chance."""
    table = lab.blocks[["block", "information", "chance", "chance_high"]]
    best, above = highest(table, "information"), len(_telling(lab))
    sentence = (
        f"The routing of block {best['block']:.0f} says the most about the class: {amount(best['information'], 'bits')}. "
        f"Routing says more than chance would in {above} of {counted(len(table), 'block')}."
        if above
        else "The routing says nothing about the class, or no more than chance would."
    )
    method = (
        "Mutual information, in bits, between the class and an expert drawn by the image's weights: how much one says about the "
        "other. It is H(mean a) minus the mean over classes of H(mean a given the class), where a are the weights and H is the "
        "entropy. The tick is the limit of chance: without any relation to the class, the probability that any of the blocks "
        f"passes its tick is 5%. It comes from {DRAWS} permutations of the labels, and is corrected for the number of blocks "
        "(Westfall and Young's maxT)."
    )
    return Finding("information", "information chart", sentence, partial(information_bars, table), table, method)


def _telling(lab: Lab) -> list[int]:
    """Return the blocks whose routing says more about the class than chance would."""
    return lab.blocks[lab.blocks["information"] > lab.blocks["chance_high"]]["block"].tolist()


@cached
def plane(lab: Lab, highlighted: str | None = None) -> Finding:
    """Show the images in two dimensions by their routing, those of one class before the others if it is `highlighted`."""
    table, explained = lab.points
    sentence = (
        f"Each dot is a test image, placed by its {counted(len(lab.block_numbers) * lab.num_experts, 'routing weight')}. Dots close "
        "together are routed similarly, so a cluster of one color is a class with its own route."
    )
    method = (
        f"The two principal components, along which the routing weights of all {lab.count:,} test images vary the most. "
        + (f"The chart shows {POINTS:,} images, chosen at random. " if lab.count > POINTS else "")
        + "Directions such as up and left have no meaning."
    )
    drawn = table.iloc[sample(POINTS, lab.count)]
    return Finding("plane", "map of images", sentence, partial(scatter, drawn, explained, highlighted), table, method)


def sample(count: int, of_all: int, seed: int = 0) -> list[int]:
    """Return at most `count` random numbers below `of_all`, sorted and always the same."""
    order = torch.randperm(of_all, generator=torch.Generator().manual_seed(seed))[:count]
    return sorted(order.tolist())


@cached
def mistakes(lab: Lab) -> Finding | None:
    """Say whether mistakes are routed like the predicted class, or None if there are no mistakes to compare."""
    table = lab.mistakes
    if table.empty:
        return None
    wrong, compared = int((lab.routed.labels != lab.routed.predictions).sum()), int(table["mistakes"].max())
    images = counted(wrong, "misclassified image")
    scope = (
        f"Of {images}, {compared:,} can be compared: their own and the predicted class both have correctly classified images."
        if compared < wrong
        else f"Compares {images}."
    )
    method = (
        f"{scope} The chart shows the share of them whose weights are closer to the mean of the predicted class than to that of "
        "their own class. Closeness is total variation (half the sum of the absolute "
        "differences), and the means are over correctly classified images. The line at one half is no preference. The intervals "
        "are Wilson's at 95% for all blocks together (Bonferroni: each is widened, so that all of them hold at once). The "
        "sentence names only blocks whose routing says more about the class than chance would."
    )
    axis = "share of the mistakes (line: no preference)"
    chart = partial(interval_dots, table, "block", "share", axis, rule=0.5, whole=True)
    sentence = _routed_like(table, _telling(lab))
    return Finding("mistakes", "chart of mistakes", sentence, chart, table, method)


def _routed_like(table: pd.DataFrame, telling: list[int]) -> str:
    """Say which class mistakes are routed like, as far as the intervals of `mistakes_table` allow."""
    if not telling:
        return "The routing says nothing about the class, so it cannot show which class mistakes are routed like."
    table = table[table["block"].isin(telling)]
    predicted, own = "the predicted class", "their own class"
    for clear, more, less in ((table["low"] > 0.5, predicted, own), (table["high"] < 0.5, own, predicted)):
        blocks = table[clear]["block"].tolist()
        if blocks:
            where = f"{'block' if len(blocks) == 1 else 'blocks'} {', '.join(map(str, blocks))}"
            return f"Mistakes are routed more like {more} than like {less} in {where} (at 95% confidence)."
    compared = counted(int(table["mistakes"].max()), "mistake")
    return f"The data ({compared}) do not show whether mistakes are routed more like {predicted} or like {own}."
