"""What the routing follows, where it is known what the images show."""

from functools import partial

from expertnet.charts.heatmaps import class_heatmap, factor_heatmap
from expertnet.findings.finding import Finding, cached, highest
from expertnet.routing.factors import codes, explained, known_factors
from expertnet.routing.lab import Lab
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
    weights = class_table(lab.routed.routing[:, [block - 1]], codes(column), list(column.cat.categories)).assign(
        block=block
    )
    weights["average"] = lab.usage[block - 1].repeat(len(weights) // lab.num_experts).tolist()
    raised = weights.loc[(weights["weight"] - weights["average"]).groupby(weights["class"], sort=False).idxmax()]
    parts = zip(*(raised[name] for name in ("expert", "class", "weight", "average")), strict=True)
    experts = ", ".join(
        f"expert {k} by {name} ({weight:.2f}, {mean:.2f} on average)" for k, name, weight, mean in parts
    )
    follows = here.set_index("factor")["deviation"][factor] >= FOLLOWS
    each = (
        f"each {factor} favors an expert of its own"
        if raised["expert"].is_unique
        else f"experts are favored by {factor}"
    )
    return Finding(
        f"factors-block-{block}",
        f"heat map by {factor}",
        f"In block {block}, {each}: {experts}."
        if follows
        else f"In block {block}, the mean weights hardly depend on any known factor of the images.",
        partial(class_heatmap, weights, block),
        weights.rename(columns={"class": factor}),
        f"Mean routing weights over the test images of each value ({lab.count:,} images in all). A value favors the expert whose weight "
        "it raises the most above the average over all images.",
    )
