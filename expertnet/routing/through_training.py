"""The routing of each epoch, from the lines of metrics.jsonl."""

from collections.abc import Sequence

import pandas as pd
import torch

from expertnet.network.routing_metrics import entropy
from expertnet.store.history import HistoryRow


def training_table(metrics: Sequence[HistoryRow]) -> pd.DataFrame:
    """Return a row per epoch and block with experts: epoch, block, entropy_of_mean, mean_entropy (nats), information (bits)."""
    rows = []
    for line in metrics:
        usage_BK, own, bits = line.get("expert_usage"), line.get("routing_entropy"), line.get("routing_information")
        if usage_BK and own and bits:
            values = zip(entropy(torch.tensor(usage_BK)).tolist(), own, bits, strict=False)
            rows += [
                (line["epoch"], block, of_mean, mean, round(information, 6))
                for block, (of_mean, mean, information) in enumerate(values, 1)
                if mean is not None and information is not None
            ]
    return pd.DataFrame(rows, columns=["epoch", "block", "entropy_of_mean", "mean_entropy", "information"])


def utilization_table(metrics: Sequence[HistoryRow]) -> pd.DataFrame:
    """Return a row per epoch, block and expert: epoch, block, expert, utilization (see `expert_table`)."""
    rows = [
        (line["epoch"], block, expert, len(weights) * weight)
        for line in metrics
        for block, weights in enumerate(line.get("expert_usage") or [], 1)
        for expert, weight in enumerate(weights, 1)
    ]
    return pd.DataFrame(rows, columns=["epoch", "block", "expert", "utilization"])
