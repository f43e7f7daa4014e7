"""Whether misclassified images are routed like their own class or like the predicted one."""

import pandas as pd
from scipy.stats import binomtest
from torch import Tensor

from expertnet.network.routing_metrics import class_means


def mistakes_table(routing_NBK: Tensor, labels_N: Tensor, predictions_N: Tensor, num_classes: int) -> pd.DataFrame:
    """Return a row per block: block, share, low, high, mistakes (how many were compared).

    `share` of the mistakes have weights closer, in total variation, to the mean of the predicted class than to that of their own
    class. The means are over correctly classified images; mistakes whose classes lack either mean are left out. Ties count as
    half, and 0.5 means no preference. low and high bound Wilson's interval at 95% for all blocks together (Bonferroni).
    """
    right = predictions_N == labels_N
    means = class_means(routing_NBK[right], labels_N[right], num_classes)
    wrong, own, taken = routing_NBK[~right].double(), means[labels_N[~right]], means[predictions_N[~right]]
    known = ~(own.isnan() | taken.isnan()).flatten(1).any(1)
    to_own, to_taken = ((wrong - mean)[known].abs().sum(2) for mean in (own, taken))
    closer = (to_taken < to_own).double() + 0.5 * (to_taken == to_own).double()
    count, level = len(closer), 1 - 0.05 / routing_NBK.shape[1]
    rows = []
    for block, share in enumerate(closer.mean(0).tolist() if count else [], 1):
        interval = binomtest(round(share * count), count).proportion_ci(level, method="wilson")
        rows.append((block, share, interval.low, interval.high, count))
    return pd.DataFrame(rows, columns=["block", "share", "low", "high", "mistakes"])
