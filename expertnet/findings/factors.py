"""What the routing follows, where it is known what the images show."""

from functools import partial

import pandas as pd

from expertnet.charts.heatmaps import class_heatmap, factor_heatmap
from expertnet.findings.finding import Finding, cached, highest
from expertnet.routing.chance import DRAWS, LEVEL, chance
from expertnet.routing.factors import codes, explained, known_factors
from expertnet.routing.lab import Lab
from expertnet.routing.specialization import specializations
from expertnet.routing.weights import class_table
from expertnet.utils.text import percent

FOLLOWS = 0.05  # standard deviation of the weights that a factor must explain


@cached
def factors(lab: Lab, dataset: str) -> Finding | None:
    """Say which factor of the images the routing follows most; None if the factors are not known."""
    known = known_factors(dataset, lab.count)
    if known is None:
        return None
    table = explained(lab.routing, known, lab.block_numbers)
    most = highest(table, "deviation")
    sentence = (
        f"Block {most['block']} follows the {most['factor']} of the image, which explains {percent(most['share'])} of the variance "
        "of its weights."
        if most["deviation"] >= FOLLOWS
        else "The routing follows none of the known factors of the images."
    )
    method = (
        "The share of the variance of a block's routing weights that lies between images with different values of a factor, summed "
        "over the experts (the correlation ratio). 100%: the factor alone decides the weights. 0%: the weights do not depend on it, "
        "or are constant."
    )
    return Finding("factors", "chart of factors", sentence, partial(factor_heatmap, table), table, method)


@cached
def values(lab: Lab, dataset: str, block: int, factor: str | None = None) -> Finding | None:
    """Show the mean weights of a block by the values of a factor, by default the one that the block follows most."""
    found, known = factors(lab, dataset), known_factors(dataset, lab.count)
    if found is None or known is None:
        return None
    here = found.table[found.table["block"] == block]
    factor = factor or str(highest(here, "share")["factor"])
    column = known[factor]
    routing, names, values_N = lab.routed.routing[:, [block - 1]], list(column.cat.categories), codes(column)
    weights = class_table(routing, values_N, names).assign(block=block)
    weights["average"] = lab.usage[block - 1].repeat(len(weights) // lab.num_experts).tolist()
    follows = here.set_index("factor")["deviation"][factor] >= FOLLOWS
    sentence = f"In block {block}, the mean weights hardly depend on any known factor of the images."
    if follows:
        raised = specializations(routing, values_N, names, chance(routing, values_N))
        sentence = f"In block {block}, {_favorites(raised, factor, names)}."
    return Finding(
        f"factors-block-{block}",
        f"heat map by {factor}",
        sentence,
        partial(class_heatmap, weights, block),
        weights.rename(columns={"class": factor}),
        f"Mean routing weights over the test images of each value ({lab.count:,} images in all). A value favors the expert whose weight "
        "it raises the most above the average over all images, if it raises it by more than chance explains. This is tested for each "
        f"value, and corrected for the number of values and experts ({DRAWS} permutations of the values, Westfall and Young's maxT): if "
        f"the weights had nothing to do with the {factor}, any value would favor an expert with a probability of {percent(LEVEL, 0)}.",
    )


def _favorites(raised: pd.DataFrame, factor: str, names: list[str]) -> str:
    """Say which expert each value favors beyond chance: the rows of `specializations`, with values for classes."""
    parts: list[str] = []
    favored: list[int] = []
    for name in names:
        rows = raised[raised["class"] == name]
        if rows.empty:
            parts.append(f"none by {name}")
            continue
        row = highest(rows, "difference")
        what, mean = "" if favored else "mean weight ", row["weight"] - row["difference"]
        favored.append(row["expert"])
        parts.append(f"expert {row['expert']} by {name} ({what}{row['weight']:.2f}, {mean:.2f} over all images)")
    if len(set(favored)) == len(names):
        return f"each {factor} favors an expert of its own: {', '.join(parts)}"
    return f"experts are favored by {factor}: {', '.join(parts)}"
