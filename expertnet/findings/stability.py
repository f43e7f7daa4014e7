"""How far small changes of an image move its routing."""

from functools import partial

from expertnet.charts.heatmaps import share_heatmap
from expertnet.findings.finding import Finding, cached, highest, in_words
from expertnet.routing.stability import AUGMENTED, IMAGES, Stability, stability_table
from expertnet.utils.text import counted, percent


@cached
def stability(found: Stability, blocks: tuple[int, ...]) -> Finding:
    """Compare how far variants of an image move its weights with the distance between two images."""
    table = stability_table(found, blocks)
    known = table[table["share"].notna()]
    constant = sorted(set(table["block"]) - set(known["block"]))
    if known.empty:
        sentence = f"The weights of {in_words(constant)} hardly differ between images, so there is no distance to compare with."
    else:
        augmented, most = known[known["variant"] == AUGMENTED], highest(known[known["variant"] != AUGMENTED], "share")
        low, high = (percent(value, 0) for value in (augmented["share"].min(), augmented["share"].max()))
        span = low if low == high else f"{low} to {high}"
        interval = f"95%: {percent(most['low'], 0)} to {percent(most['high'], 0)}"
        by_block = ", depending on the block" if low != high else ""
        sentence = (
            f"Cropping and mirroring as in training moves an image's weights by {span} of the distance between two images{by_block}. "
            f"Of the kinds of damage, {most['variant']} moves them the farthest, in block {most['block']}: by "
            f"{percent(most['share'], 0)} ({interval})."
        )
        if constant:
            sentence += f" Left out, since their weights hardly differ between images: {in_words(constant)}."
    method = (
        f"On {counted(len(found.labels), f'{found.part} image')} (at most {IMAGES:,}, chosen at random), the total variation distance "
        "between an image's routing weights and those of its variant, as a share of the mean distance between two images. 0%: the "
        "routing stays as it is. 100%: it changes as much as with another image. Augmentation is a random crop and a mirroring as in "
        "training, without cutout; if the run has neither, nothing changes. The kinds of damage are those of the chart of damaged "
        "images. The network is as shipped. The 95% intervals are by the jackknife over images. They hold for one share "
        "at a time, not for the largest of several."
    )
    described = "How far each kind of change moves the routing weights, as a share of the distance between two images"
    chart = partial(share_heatmap, known, "variant", "block", "share of the distance", described)
    return Finding("stability", "chart of stability", sentence, None if known.empty else chart, table, method)
