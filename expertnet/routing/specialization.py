"""The classes that experts specialize in, as far as chance does not explain them."""

from collections.abc import Sequence

import pandas as pd
from torch import Tensor

from expertnet.network.routing_metrics import class_means, usage
from expertnet.routing.chance import LEVEL, Chance, leads, p_value


def specializations(routing_NBK: Tensor, labels_N: Tensor, classes: Sequence[str], by_chance: Chance) -> pd.DataFrame:
    """Return a row per expert and class that raises its weight: block, expert (from 1), class, weight, difference, ratio, p.

    `weight` is the class's mean weight, `difference` and `ratio` compare it with the expert's. `p` is corrected for all classes and
    all experts in use of all blocks (maxT; Westfall and Young, Resampling-Based Multiple Testing, 1993): if routing has nothing to do
    with the class, the table has any row with a probability of LEVEL. The strongest class of an expert comes first.
    """
    present = labels_N.unique().tolist()
    means_CBK, mean_BK = class_means(routing_NBK, labels_N, len(classes))[present], usage(routing_NBK)
    p_CBK = p_value(leads(means_CBK, routing_NBK, labels_N), by_chance.lead_D)
    rows = []
    for c, block, expert in (p_CBK <= LEVEL).nonzero().tolist():
        weight, mean = float(means_CBK[c, block, expert]), float(mean_BK[block, expert])
        p = float(p_CBK[c, block, expert])
        rows.append((block + 1, expert + 1, classes[present[c]], weight, weight - mean, weight / mean, p))
    table = pd.DataFrame(rows, columns=["block", "expert", "class", "weight", "difference", "ratio", "p"])
    return table.sort_values(["block", "expert", "ratio"], ascending=[True, True, False], ignore_index=True)
