"""How the routing developed during training."""

from __future__ import annotations

from collections.abc import Sequence

from expertnet.charts.training import block_curves
from expertnet.findings.experts import ALIKE
from expertnet.findings.finding import Finding
from expertnet.routing.through_training import training_table, utilization_table
from expertnet.store.history import HistoryRow
from expertnet.utils.text import amount

_CURVES = (  # name, what it is called, its unit, what it means
    ("entropy_of_mean", "entropy of the mean routing", "nats", "Low where the same experts serve all images."),
    ("mean_entropy", "mean entropy of the images' own routing", "nats", "Low where each image has its expert."),
    (
        "information",
        "information about the class",
        "bits",
        "Mutual information between the class and an expert drawn by the weights.",
    ),
)


def through_training(metrics: Sequence[HistoryRow], watched: str) -> list[Finding]:
    """Both entropies and the information of each block over epochs, from the lines of metrics.jsonl.

    `watched` says what they were measured on: "validation images", or "test set".
    """
    table = training_table(metrics)
    findings = []
    for name, title, unit, means in _CURVES:
        if not table.empty:
            mean = table.groupby("epoch")[name].mean()
            first, last = (amount(value, unit) for value in (mean.iloc[0], mean.iloc[-1]))
            went = f"went from {first} to {last} between epochs {mean.index[0]} and {mean.index[-1]}"
            as_before = f", as after epoch {mean.index[0]}" if len(mean) > 1 else ""
            stayed = f"is {last} after epoch {mean.index[-1]}{as_before}"
            sentence = f"The {title} {stayed if first == last else went}, on the mean of the blocks."
            chart = block_curves(table, name, f"{title} ({unit})", "block")
            findings.append(
                Finding(
                    f"training-{name.replace('_', '-')}",
                    sentence,
                    chart,
                    table[["epoch", "block", name]],
                    f"{means} {_measured(watched)}",
                )
            )
    return findings


def _measured(watched: str) -> str:
    return f"Measured on the {watched} after every epoch."


def training_utilization(metrics: Sequence[HistoryRow], block: int, watched: str) -> Finding | None:
    """How much each expert of a block is used, over epochs."""
    table = utilization_table(metrics)
    table = table[table["block"] == block]
    if table.empty:
        return None
    last = table[table["epoch"] == table["epoch"].max()].set_index("expert")["utilization"]
    sentence = (
        f"At the end expert {last.idxmax()} of block {block} is used {last.max():.2f} times a fair share, expert {last.idxmin()} "
        f"{last.min():.2f} times."
        if last.max() - last.min() >= 0.005
        else ALIKE
    )
    chart = block_curves(table, "utilization", "utilization", "expert")
    return Finding(
        f"training-utilization-block-{block}",
        sentence,
        chart,
        table,
        f"Utilization is K times the mean weight. {_measured(watched)}",
    )
