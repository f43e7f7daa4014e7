"""How much each expert is used, and for what."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

from expertnet.charts.routing import entropy_pairs, expert_bars
from expertnet.findings.finding import Finding, cached, highest, in_words, lowest
from expertnet.routing.chance import DRAWS, LEVEL
from expertnet.routing.information import COLLAPSED, CONSTANT, DECISIVE
from expertnet.routing.lab import Lab
from expertnet.routing.weights import HARDLY_USED, extremes
from expertnet.utils.text import amount, counted, percent, plural

ALIKE = "Every expert gets its fair share of use."
APART = 0.05  # shares of weight and of images that differ by less are not mentioned
PREFERRED = 3  # classes named in a sentence
VARIES = 0.05  # range of a weight below which its largest and smallest values mean nothing
DOES = {  # kind of routing: what one block of it does, and several
    "decisive": ("chooses an expert for each image", "choose an expert for each image"),
    "soft": ("mixes its experts for each image", "mix their experts for each image"),
    "constant": ("gives all images nearly the same weights", "give all images nearly the same weights"),
    "collapse": ("mostly uses one expert", "mostly use one expert"),
    "one expert, nothing to route": ("has one expert", "have one expert each"),
}


@cached
def utilization(lab: Lab) -> Finding:
    """Compare how much the experts are used."""
    table = lab.experts
    most, least = highest(table, "utilization"), lowest(table, "utilization")
    sentence = (
        f"Expert {most['expert']:.0f} of block {most['block']:.0f} is used most, {most['utilization']:.2f} times a fair share. "
        f"Expert {least['expert']:.0f} of block {least['block']:.0f} is used least, {least['utilization']:.2f} times."
        if most["utilization"] - least["utilization"] >= 0.005
        else ALIKE
    )
    apart = table.iloc[int((table["first"] - table["weight"]).abs().argmax())]
    if abs(apart["first"] - apart["weight"]) >= APART:
        sentence += (
            f" Weight and load differ the most for expert {apart['expert']:.0f} of block {apart['block']:.0f}: it has "
            f"{percent(apart['weight'])} of the weight, and the largest weight in {percent(apart['first'])} of the images."
        )
    method = (
        "Utilization is K times the mean weight over the test set, so 1 is a fair share (the line) and K is all of the weight, "
        "where the axis ends. The tick is the load: K times the share of images in which the expert has the largest weight; experts with "
        "equal weights share the image. With soft weights, small differences decide which one is the largest, so the load can be "
        "uneven where the weight is not."
    )
    return Finding("utilization", "usage chart", sentence, partial(expert_bars, table), table, method)


@dataclass(frozen=True)
class Examples:
    """The test images (from 0) that give an expert the most and the least weight, and a sentence on the expert."""

    sentence: str
    largest: list[int]  # none if the weight hardly varies
    smallest: list[int]
    weights_N: Tensor = field(repr=False)


@cached
def examples(lab: Lab, block: int, expert: int, count: int) -> Examples:
    """Say how an expert is used, and find the `count` images with the largest and with the smallest weights for it."""
    block_NK = lab.routed.routing[:, block - 1]
    weights_N = block_NK[:, expert - 1]
    tables = (lab.experts, lab.specializations)
    used, named = (table[(table["block"] == block) & (table["expert"] == expert)] for table in tables)
    use = used.iloc[0]
    if lab.num_experts > 1 and torch.equal(block_NK.amin(1), block_NK.amax(1)):
        sentence = f"{use['utilization']:.2f} times a fair share of use: all experts of the block have equal weights in every image."
        return Examples(sentence, [], [], weights_N)
    sentence = f"{use['utilization']:.2f} times a fair share of use; the largest weight in {percent(use['first'])} of the images."
    low, high = weights_N.min().item(), weights_N.max().item()
    if high - low < VARIES:
        return Examples(f"{sentence} Its weight hardly varies: from {low:.2f} to {high:.2f}.", [], [], weights_N)
    if len(named):
        names = [f"{name} ({ratio:.2f})" for name, ratio in zip(named["class"], named["ratio"], strict=True)]
        more = [f"{len(names) - PREFERRED} more"] if len(names) > PREFERRED else []
        listed = ", ".join([*names[:PREFERRED], *more])
        sentence += f" Classes that prefer it, and by what factor they raise its weight: {listed}."
    return Examples(sentence, *extremes(lab.routed.routing, block, expert, count), weights_N)


def what_blocks_do(kinds: Iterable[tuple[int, str]]) -> str:
    """Return one sentence on blocks and their kinds of routing, which are those of `information.verdict`."""
    blocks: dict[str, list[int]] = {kind: [] for kind in DOES}
    for block, kind in kinds:
        blocks[kind.partition(":")[0]].append(block)
    parts = [f"{in_words(those)} {plural(len(those), *DOES[kind])}" for kind, those in blocks.items() if those]
    sentence = "; ".join(parts) + "."
    return sentence[0].upper() + sentence[1:]


@cached
def entropies(lab: Lab) -> Finding:
    """Say which blocks route decisively, and which do not."""
    columns = ["block", "verdict", "share", "low", "high", "effective", "entropy_of_mean", "mean_entropy"]
    table = lab.blocks[columns].assign(verdict=lab.blocks["verdict"].str.split(":").str[0])
    sentence = what_blocks_do(zip(table["block"], table["verdict"], strict=True))
    unsure = table[(table["low"] < CONSTANT) & (table["high"] > CONSTANT) & (table["effective"] >= COLLAPSED)]
    if len(unsure):
        sentence += (
            f" Too few images to be sure whether the weights depend on the image: {in_words([*unsure['block']])}."
        )
    method = (
        "Entropy measures how evenly weight is spread: 0 if one expert has it all, and "
        f"ln K = {amount(math.log(lab.num_experts), 'nats')} for an even split. The chart shows two entropies as shares of ln K: "
        "that of the mean routing, and the mean over single images. The line between them is what an expert drawn by the weights "
        "reveals about the image (share, with its 95% interval from low to high by the delta method). Effective experts are the "
        f"exponential of the entropy of the mean routing. Below {COLLAPSED} of them, routing has collapsed: one expert gets most of "
        f"the weight. If the share is below {percent(CONSTANT, 0)}, routing is constant: every image gets nearly the same weights. "
        f"If the mean entropy of images is below {percent(DECISIVE, 0)} of the entropy of the mean routing, routing is decisive: "
        "images choose, and choose different experts. Otherwise it is soft: images differ in how they mix the experts."
    )
    chart = partial(entropy_pairs, table, lab.num_experts)
    nats = {name: f"{name} (nats)" for name in ("entropy_of_mean", "mean_entropy")}
    table = table.rename(columns=nats | {"effective": "effective experts"})
    return Finding("entropies", "chart of routing kinds", sentence, chart, table, method, ("share", "low", "high"))


@cached
def specializations(lab: Lab) -> Finding:
    """List the classes that raise the weight of an expert, as far as chance does not explain it."""
    table = lab.specializations.sort_values("ratio", ascending=False, kind="stable", ignore_index=True)
    preferred, used = table[["block", "expert"]].drop_duplicates(), lab.experts["utilization"] >= HARDLY_USED
    sentence = f"Experts in use that at least one class prefers: {len(preferred)} of {used.sum()}."
    if len(table):
        top = table.iloc[0]
        sentence += (
            f" The strongest of {counted(len(table), 'preference')}: {top['class']} gives expert {top['expert']} of block "
            f"{top['block']} {top['ratio']:.2f} times its mean weight."
        )
    method = (
        "A class prefers an expert if it raises its mean weight by more than chance explains. The table has all such pairs with the "
        "class's mean weight, its difference from the expert's mean weight, and their ratio. p is corrected for all pairs of a class "
        f"and an expert in use, in all blocks together ({DRAWS} permutations of the labels, Westfall and Young's maxT): without any "
        f"relation to the class, the table has any row with a probability of {percent(LEVEL, 0)}. Experts with less than "
        f"{HARDLY_USED} times a fair share of use are left out."
    )
    return Finding("specializations", "table of specializations", sentence, None, table, method)
