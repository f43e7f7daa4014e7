"""The routing of each epoch, from the lines of metrics.jsonl."""

import math
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import torch

from expertnet.network.routing_metrics import entropy
from expertnet.store.history import HistoryRow, parse_history
from expertnet.utils.files import cached_on_file

LAST_LINE = 2**17  # bytes at the end of metrics.jsonl that hold its last line


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


@cached_on_file(maxsize=4096)
def variety(path: Path) -> float:
    """Return how much the routing differs between images after the last epoch of a metrics.jsonl: 0 not at all, 1 fully.

    It is the largest information of a block's routing about the image, as a share of ln K. Raises OSError.
    """
    with path.open("rb") as file:
        file.seek(max(path.stat().st_size - LAST_LINE, 0))
        rows, _ = parse_history(file.read().rstrip().rpartition(b"\n")[2])
    for row in rows.values():
        blocks = zip(row["expert_usage"] or [], row["routing_entropy"] or [], strict=False)
        shares = [
            (-sum(weight * math.log(weight) for weight in usage if weight > 0) - own) / math.log(len(usage))
            for usage, own in blocks
            if own is not None and len(usage) > 1
        ]
        return max(shares, default=0.0)
    return 0.0
