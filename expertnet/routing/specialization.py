"""The classes that experts specialize in, as far as two halves of the test set agree."""

from collections.abc import Sequence

import pandas as pd
import torch
from torch import Tensor

from expertnet.network.routing_metrics import class_means, usage
from expertnet.routing.weights import HARDLY_USED

NOTABLE = 1.05  # a class must give the expert more than this many times its mean weight


def halves(labels_N: Tensor) -> tuple[Tensor, Tensor]:
    """Return the images (from 0) of two halves, which take turns within each class."""
    place = torch.empty_like(labels_N)
    for label in labels_N.unique():
        members = (labels_N == label).nonzero()[:, 0]
        place[members] = torch.arange(len(members))
    return (place % 2 == 0).nonzero()[:, 0], (place % 2 == 1).nonzero()[:, 0]


def specializations(routing_NBK: Tensor, labels_N: Tensor, classes: Sequence[str]) -> pd.DataFrame:
    """Return a row per block and expert: block, expert (from 1), class, ratio.

    `class` gives the expert its largest mean weight on one half of the images; it is "" unless the other half agrees, `ratio`
    exceeds NOTABLE and the expert is used. `ratio` is the class's mean weight over the expert's, on the other half.
    """
    first, second = halves(labels_N)
    means = [class_means(routing_NBK[half], labels_N[half], len(classes)).nan_to_num(0) for half in (first, second)]
    overall = usage(routing_NBK[second]).clamp_min(1e-12)
    used = routing_NBK.shape[2] * usage(routing_NBK) >= HARDLY_USED
    rows = []
    for block in range(routing_NBK.shape[1]):
        for expert in range(routing_NBK.shape[2]):
            chosen, again = (int(mean[:, block, expert].argmax()) for mean in means)
            ratio = float(means[1][chosen, block, expert] / overall[block, expert])
            repeats = chosen == again and ratio > NOTABLE and len(classes) > 1 and bool(used[block, expert])
            rows.append((block + 1, expert + 1, classes[chosen] if repeats else "", ratio))
    return pd.DataFrame(rows, columns=["block", "expert", "class", "ratio"])
