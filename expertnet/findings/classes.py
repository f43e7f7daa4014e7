"""How classes are routed, and what routing says about the class."""

import math
from functools import partial

import pandas as pd
import torch

from expertnet.charts.heatmaps import class_heatmap
from expertnet.charts.routing import information_bars, probe_bars, scatter
from expertnet.findings.finding import Finding, cached, highest
from expertnet.routing.chance import DRAWS, LEVEL, limit
from expertnet.routing.lab import Lab
from expertnet.routing.probe import FOLDS, ROUTERS, Probes
from expertnet.routing.similarity import most_distance
from expertnet.utils.text import amount, counted, percent

NOTHING = 0.005  # bits below which no block is named
POINTS = 2000  # images drawn in two dimensions; more would only cover one another
CLOSE = 0.1  # distance of weights below which all images count as routed alike


@cached
def classes(lab: Lab, block: int, highlighted: str | None = None) -> Finding:
    """Show each class's mean weights in a block, with a frame around the row of one class."""
    table = lab.by_class[lab.by_class["block"] == block]
    spread = table.groupby("expert")["weight"].agg(lambda column: column.max() - column.min())
    expert = int(spread.to_numpy().argmax()) + 1
    weight = table[table["expert"] == expert].set_index("class")["weight"]
    noise = float(limit(lab.chance.spread_DB)[lab.block_numbers.index(block)])
    if weight.max() - weight.min() < 0.005:
        sentence = f"In block {block}, all classes are routed nearly the same way on average."
    elif weight.max() - weight.min() <= noise:
        sentence = f"In block {block}, the classes' mean weights differ no more than chance would make them differ."
    else:
        sentence = (
            f"In block {block}, classes differ most in the weight of expert {expert}: on average {weight.max():.2f} for "
            f"{weight.idxmax()} and {weight.min():.2f} for {weight.idxmin()}. Chance alone would give differences of at most "
            f"{math.ceil(noise * 100) / 100:.2f}."
        )
    method = (
        f"Mean routing weights over each class's test images ({lab.count:,} images in all), with their standard errors in the table. "
        f"Rows are {lab.row_order}. If the labels are dealt out at random ({DRAWS} permutations), the largest difference between two "
        f"classes for any expert of the block is at most {noise:.4f} in {percent(1 - LEVEL, 0)} of the cases."
    )
    chart = partial(class_heatmap, table, block, highlighted)
    return Finding(f"classes-block-{block}", "class heat map", sentence, chart, table, method)


@cached
def information(lab: Lab) -> Finding:
    """Compare what each block's routing says about the class with chance."""
    table = lab.blocks[["block", "information", "chance", "chance_high"]]
    best, above = highest(table, "information"), int((table["information"] > table["chance_high"]).sum())
    said, beyond = (
        amount(best["information"], "bits"),
        f"more than chance would in {above} of {counted(len(table), 'block')}",
    )
    if not above:
        sentence = "An expert drawn by the weights says nothing about the class, or no more than chance would."
    elif best["information"] < NOTHING:
        sentence = (
            f"An expert drawn by the weights says next to nothing about the class ({said} in block {best['block']:.0f}, the most), though "
            f"{beyond}."
        )
    else:
        sentence = (
            f"An expert drawn by the weights of block {best['block']:.0f} says the most about the class: {said}. Such an expert says "
            f"{beyond}."
        )
    method = (
        "Mutual information, in bits, between the class and an expert drawn by the image's weights: how much one says about the "
        "other. It is H(mean a) minus the mean over classes of H(mean a given the class), where a are the weights and H is the "
        "entropy, and at most log2 K, where the axis ends. The network uses the whole weights rather than a drawn expert, and they "
        "can say much more. The tick is the limit of chance: without any relation to the class, the probability that any of the blocks "
        f"passes its tick is 5%. It comes from {DRAWS} permutations of the labels, and is corrected for the number of blocks "
        "(Westfall and Young's maxT)."
    )
    return Finding(
        "information", "information chart", sentence, partial(information_bars, table, lab.num_experts), table, method
    )


@cached
def probe(probes: Probes, lab: Lab) -> Finding:
    """Compare what a linear probe reads about the class from the weights with what it reads from random routers'."""
    table = pd.DataFrame({"block": lab.block_numbers, "information": probes.learned, "error": probes.error})
    ticks = pd.DataFrame(probes.random.double().numpy(), columns=lab.block_numbers)
    ticks = ticks.melt(var_name="block", value_name="tick")
    place = int(table["information"].argmax())
    best = table.iloc[place]
    of_all = f"{best['information']:.2f} of {probes.entropy:.2f} bits"
    sentence = f"A linear probe reads the most about the class from the weights of block {best['block']:.0f}: {of_all}."
    if not probes.entropy:
        sentence = f"A linear probe needs two classes with at least {FOLDS} test images each."
    elif best["information"] < NOTHING:
        sentence = f"A linear probe reads under {NOTHING} bits about the class from the weights of any block."
    if len(probes.random):
        by_block = ticks.groupby("block")["tick"]
        table["random_lowest"], table["random_highest"] = by_block.min().to_numpy(), by_block.max().to_numpy()
        here, above = table.iloc[place], int((table["information"] > table["random_highest"]).sum())
        sentence += (
            f" From those of {ROUTERS} random routers in block {best['block']:.0f}, it reads {here['random_lowest']:.2f} to "
            f"{here['random_highest']:.2f}. It reads more from the learned weights than from those of any random router in "
            f"{above} of {counted(len(table), 'block')}."
        )
    method = (
        "A linear probe is multinomial logistic regression from a block's weights to the class. Its information is the entropy of the "
        f"class minus its held-out cross-entropy ({FOLDS}-fold cross-validation), in bits, or 0 if that is negative (usable information; "
        "Xu 2020, arXiv:2002.10689). Error is the standard error over images. The axis ends at log2 C for C classes. A random router "
        "is a router before training. It sees the same input as the learned one in the same network, so that a part of what the "
        "weights say about the class comes from the input alone. That routing says something about the class does not mean that the "
        f"answers depend on it. Classes with fewer than {FOLDS} test images are left out."
    )
    chart = partial(probe_bars, table, ticks, len(lab.classes))
    return Finding("probe", "probe chart", sentence, chart, table, method)


@cached
def plane(lab: Lab, highlighted: str | None = None) -> Finding:
    """Show the images in two dimensions by their routing, those of one class before the others if it is `highlighted`."""
    table, explained = lab.points
    weights, shown = counted(len(lab.block_numbers) * lab.num_experts, "routing weight"), percent(sum(explained), 0)
    sentence = (
        f"Each dot is a test image, placed by its {weights}. Dots far apart are routed differently, dots close together alike, as far as "
        f"the plane shows it: {shown} of the variance."
        if sum(explained)
        else "All test images have the same routing weights."
    )
    bound = max(math.ceil(100 * most_distance(lab.routing) - 1e-6), 1) / 100  # rounded up, so that it holds
    if sum(explained) and bound < CLOSE:
        sentence += (
            f" All images are routed nearly alike: the weights of no two are further apart than {bound:.2f}, where 1 means "
            "different experts in every block."
        )
    method = (
        f"The two principal components, along which the routing weights of all {lab.count:,} test images vary the most. "
        + (f"The chart shows {POINTS:,} images, chosen at random. " if lab.count > POINTS else "")
        + "A distance of 1 is that of two images that choose different experts in every block, on both axes and in every network. "
        "Directions such as up and left have no meaning."
    )
    drawn = table.iloc[sample(POINTS, lab.count)]
    return Finding("plane", "map of images", sentence, partial(scatter, drawn, explained, highlighted), table, method)


def sample(count: int, of_all: int) -> list[int]:
    """Return at most `count` random numbers below `of_all`, sorted and always the same."""
    order = torch.randperm(of_all, generator=torch.Generator().manual_seed(0))[:count]
    return sorted(order.tolist())
