"""How a single image is routed, and what the network answers.

Routing weights of an image are (B, K). `blocks` are those to show, from 1; all if empty.
"""

import math
from collections.abc import Sequence
from functools import partial

import pandas as pd
import torch
from torch import Tensor

from expertnet.charts.heatmaps import difference_heatmap, routing_heatmap
from expertnet.charts.predictions import probability_pairs
from expertnet.charts.routing import entropy_bars
from expertnet.findings.finding import Finding, highest, lowest
from expertnet.network.routing_metrics import entropy
from expertnet.routing.weights import weights_table

SHOWN = 6  # most likely classes
ALIKE = 0.02  # share of the entropy of an even split: blocks that differ by less are equally decisive


def weights(weights_BK: Tensor, name: str, blocks: Sequence[int] = ()) -> Finding:
    """Show the routing weights."""
    table = weights_table(weights_BK, blocks)
    top = highest(table, "weight")
    sentence = f"The largest weight is {top['weight']:.2f}, for expert {top['expert']:.0f} of block {top['block']:.0f}."
    method = (
        "The weights from each block's router, which routes the image. The weights of a block sum to 1 "
        "(as in Dynamic Convolution, Chen 2020, arXiv:1912.03458)."
    )
    return Finding(name, "routing heat map", sentence, partial(routing_heatmap, table), table, method)


def difference(difference_BK: Tensor, name: str, subtracted: str, blocks: Sequence[int] = ()) -> Finding:
    """Show a difference of routing weights. `subtracted` says what was subtracted: "the test set's mean"."""
    table = weights_table(difference_BK, blocks).rename(columns={"weight": "difference"})
    top = table.iloc[int(table["difference"].abs().argmax())]
    place = f"expert {top['expert']:.0f} of block {top['block']:.0f}"
    sentence = f"The largest difference is {top['difference']:+.2f}, for {place}."
    if abs(top["difference"]) < 0.005:
        sentence = "No routing weight differs by more than 0.005."
    chart = partial(difference_heatmap, table, "block", "difference", "difference")
    method = f"Routing weights minus {subtracted}. The differences within a block sum to 0."
    return Finding(name, "heat map of differences", sentence, chart, table, method)


def entropies(weights_BK: Tensor, name: str, blocks: Sequence[int] = ()) -> Finding:
    """Show the entropy of the routing weights in each block."""
    experts = weights_BK.shape[1]
    values = entropy(weights_BK).tolist()
    blocks = blocks or range(1, len(values) + 1)
    table = pd.DataFrame({"block": blocks, "entropy": [values[block - 1] for block in blocks]})
    least, most = lowest(table, "entropy"), table["entropy"].max()
    even = f"An even split has {math.log(experts):.2f}."
    if experts == 1:
        sentence = "Each block has a single expert, so its entropy is 0."
    elif len(table) == 1:
        sentence = f"Block {least['block']:.0f} has an entropy of {most:.2f}. {even}"
    elif most - least["entropy"] < ALIKE * math.log(experts):
        between = " to ".join(dict.fromkeys(f"{value:.2f}" for value in (least["entropy"], most)))
        flat = least["entropy"] > (1 - ALIKE) * math.log(experts)
        sentence = "All blocks split their weight almost evenly" if flat else "All blocks are about equally decisive"
        sentence += f", with an entropy of {between}. {even}"
    else:
        sentence = f"Block {least['block']:.0f} is the most decisive: its entropy is {least['entropy']:.2f}. {even}"
    method = (
        "Entropy, in nats (natural-log units), measures how evenly a block spreads its weight. It is 0 if one expert has all of it, "
        f"and ln {experts} = {math.log(experts):.2f} if all experts have the same."
    )
    return Finding(name, "entropy chart", sentence, partial(entropy_bars, table, experts), table, method)


def probabilities(before_C: Tensor, after_C: Tensor, classes: Sequence[str]) -> Finding:
    """Compare the class probabilities (C,) before and after a change of the routing weights."""
    table = pd.DataFrame({"label": classes, "probability": before_C.tolist(), "changed": after_C.tolist()})
    before, after = (classes[int(values.argmax())] for values in (before_C, after_C))
    if torch.equal(before_C, after_C):
        sentence = f"The probabilities are unchanged. The answer is “{after}”."
    else:
        sentence = (
            f"The answer {f'is still “{after}”' if before == after else f'changes from “{before}” to “{after}”'}."
        )
    likeliest = table[["probability", "changed"]].max(axis=1).nlargest(SHOWN).index
    method = "Pale bars: the network's own routing. Full bars: the weights you set. The classes most likely in either are shown."
    chart = partial(probability_pairs, table.loc[likeliest])
    return Finding("probabilities", "probability chart", sentence, chart, table, method)
