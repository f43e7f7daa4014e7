"""The findings of a single image in the routing lab: its weights, how they differ from others, and what it is taken for.

In this module: weights, difference, entropies, probabilities. Routing weights of an image are (B, K).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd
from torch import Tensor

from expertnet.charts.heatmaps import difference_heatmap, routing_heatmap
from expertnet.charts.predictions import probability_pairs
from expertnet.charts.routing import entropy_bars
from expertnet.findings.finding import Finding
from expertnet.network.routing_metrics import entropy
from expertnet.routing.weights import weights_table

SHOWN = 6  # classes, the likeliest ones


def weights(weights_BK: Tensor, name: str) -> Finding:
    table = weights_table(weights_BK)
    top = table.iloc[int(table["weight"].argmax())]
    sentence = f"Its largest weight is {top['weight']:.2f}, of expert {top['expert']:.0f} in block {top['block']:.0f}."
    method = (
        "The softmax of each block's expert branch; the weights of a block sum to 1 (as in Dynamic Convolution, Chen 2020, "
        "arXiv:1912.03458)."
    )
    return Finding(name, sentence, routing_heatmap(table), table, method)


def difference(difference_BK: Tensor, name: str, less: str) -> Finding:
    """`less` says what was taken off: "the test set's mean"."""
    table = weights_table(difference_BK).rename(columns={"weight": "difference"})
    top = table.iloc[int(table["difference"].abs().argmax())]
    sentence = f"The largest difference is {top['difference']:+.2f}, for expert {top['expert']:.0f} in block {top['block']:.0f}."
    chart = difference_heatmap(table, "block", "difference", "difference")
    return Finding(name, sentence, chart, table, f"Routing weights less {less}; the differences of a block sum to 0.")


def entropies(weights_BK: Tensor, name: str) -> Finding:
    experts = weights_BK.shape[1]
    values = entropy(weights_BK).tolist()
    table = pd.DataFrame({"block": range(1, len(values) + 1), "entropy": values})
    least = table.iloc[int(table["entropy"].argmin())]
    sentence = f"Block {least['block']:.0f} is the most decisive, with an entropy of {least['entropy']:.2f} nats."
    method = (
        f"Entropy of the weights of each block: 0 where one expert has all of the weight, ln {experts} = {math.log(experts):.2f} where all "
        "weigh the same."
    )
    return Finding(name, sentence, entropy_bars(table, experts), table, method)


def probabilities(before_C: Tensor, after_C: Tensor, classes: Sequence[str]) -> Finding:
    table = pd.DataFrame({"label": classes, "probability": before_C.tolist(), "changed": after_C.tolist()})
    own, now = (classes[int(values.argmax())] for values in (before_C, after_C))
    sentence = f"It is taken for {now}" + (" as before." if own == now else f" instead of {own}.")
    likeliest = table[["probability", "changed"]].max(axis=1).nlargest(SHOWN).index
    method = (
        "Pale: as the network routes; full: with the weights that were set. The likeliest classes of either are shown."
    )
    return Finding("probabilities", sentence, probability_pairs(table.loc[likeliest]), table, method)
