"""How similar the outputs of a block's experts are."""

from functools import partial

import pandas as pd

from expertnet.charts.base import tooltips
from expertnet.charts.effects import interval_dots
from expertnet.findings.finding import Finding, cached
from expertnet.routing.likeness import GROUPS, IMAGES, SIDE, UNTRAINED, Likeness, likeness_table
from expertnet.utils.text import counted, plural

DRAWN = 15  # pairs in the chart


@cached
def likeness(found: Likeness, blocks: tuple[int, ...], block: int) -> Finding:
    """Compare the outputs of each pair of a block's experts, beside experts with random kernels."""
    table = likeness_table(found, blocks)
    table = table[table["block"] == block].sort_values("cka", ascending=False, ignore_index=True)
    known = len(found.labels) >= GROUPS
    sentence = (
        _most_similar(table, block)
        if known
        else f"{counted(len(found.labels), f'{found.part} image')} {plural(len(found.labels), 'is', 'are')} too few to compare the "
        f"outputs of experts, which needs at least {GROUPS}."
    )
    method = (
        f"Linear CKA (Kornblith 2019, arXiv:1905.00414) of the outputs of each expert alone, on at most {IMAGES} {found.part} images "
        "chosen at random, from unbiased estimates (Nguyen 2021, arXiv:2010.15327). 1: the outputs are equal up to a rotation and a "
        "scale. 0: they arrange the images in unrelated ways. Each block sees what the network as shipped gives it. Outputs with more "
        f"than {SIDE} x {SIDE} positions are averaged down to that size. Intervals are by the jackknife over {GROUPS} groups of images and "
        "Student's t, at 95% for one pair at a time. The diamonds are the mean of the same block with random kernels, drawn "
        f"{UNTRAINED} times, which is what the common input alone makes of them. A pair is measurably more similar than random kernels if "
        "its interval lies above the CKA of their most similar pair. Experts with similar outputs can do similar work, but their small "
        "differences may still matter to the network."
    )
    drawn = table.head(DRAWN)
    texts = [
        f"experts {row.first} and {row.second}: {row.cka:.2f} (random kernels: {row.untrained:.2f})"
        for row in drawn.itertuples()
    ]
    tooltip = tooltips(
        "first:O", "second:O", **dict.fromkeys(("cka", "low", "high", "untrained", "untrained_high"), ".3f")
    )
    ends = [0.0, *table["low"], *table["untrained"]]
    chart = partial(
        interval_dots,
        drawn.assign(text=texts),
        "cka",
        "CKA (hollow: random kernels)",
        (min(ends), 1.0),
        f"Similarity of the outputs of the experts of block {block}, with intervals",
        tooltip,
        ".1f",
        hollow="untrained",
    )
    shown = chart if known else None
    return Finding(f"likeness-block-{block}", "chart of similarity", sentence, shown, table, method)


def _most_similar(table: pd.DataFrame, block: int) -> str:
    """Name the most similar pair, and say how many are more similar than random kernels."""
    most, pairs = table.iloc[0], len(table)
    above = table[table["low"] > table["untrained_high"]]
    interval = f"95%: {most['low']:.2f} to {most['high']:.2f}"
    named = f"experts {most['first']:.0f} and {most['second']:.0f}"
    similar = "the most similar" if pairs > 1 else "similar"
    sentence = f"In block {block}, the outputs of {named} are {similar}: CKA {most['cka']:.2f} ({interval})."
    number = (
        f"{len(above)} of {counted(pairs, 'pair')} {plural(len(above), 'is', 'are')}" if len(above) else "no pair is"
    )
    return f"{sentence} With random kernels, experts reach {most['untrained_high']:.2f}; {number} measurably more similar than that."
