"""How the routing developed during training."""

from collections.abc import Sequence
from functools import partial

from expertnet.charts.training import block_curves
from expertnet.findings.experts import ALIKE, what_blocks_do
from expertnet.findings.finding import Finding
from expertnet.routing.information import verdict
from expertnet.routing.through_training import training_table, utilization_table
from expertnet.store.history import HistoryRow
from expertnet.utils.text import amount

EVENNESS = "Entropy, in nats (natural-log units), measures how evenly weight is spread."
INFORMATION = "Mutual information, in bits, of the class and an expert drawn by the routing weights: how much one says about the other."
SAME_EXPERTS = f"{EVENNESS} This one is low if all images use the same experts."
ONE_EXPERT = f"{EVENNESS} This one is low if each image relies on one expert."
CURVES = {  # column: name, unit, method
    "entropy_of_mean": ("entropy of the mean routing", "nats", SAME_EXPERTS),
    "mean_entropy": ("mean entropy of single images", "nats", ONE_EXPERT),
    "information": ("information about the class", "bits", INFORMATION),
}


def routing_so_far(metrics: Sequence[HistoryRow], num_experts: int) -> str:
    """Return one sentence on what the blocks did after the last epoch, or "" if `metrics` does not show it.

    The kinds of routing are those of `verdict`.
    """
    table = training_table(metrics[-1:])
    if table.empty or num_experts < 2:
        return ""
    return what_blocks_do(
        (block, verdict(of_mean, mean, num_experts)) for _, block, of_mean, mean, _ in table.itertuples(index=False)
    )


def through_training(metrics: Sequence[HistoryRow], watched: str) -> list[Finding]:
    """Return `training_curve` of every figure, or nothing if `metrics` holds no routing."""
    found = (training_curve(metrics, column, watched) for column in CURVES)
    return [finding for finding in found if finding is not None]


def training_curve(metrics: Sequence[HistoryRow], column: str, watched: str) -> Finding | None:
    """Show one of CURVES of each block over epochs, or None if `metrics` holds no routing.

    `watched` says what it was measured on: "validation images" or "test set".
    """
    table = training_table(metrics)
    if table.empty:
        return None
    name, unit, method = CURVES[column]
    mean = table.groupby("epoch")[column].mean()
    first, last = (amount(value, unit if unit == "bits" else "") for value in (mean.iloc[0], mean.iloc[-1]))
    if first != last:
        course = f"went from {first} to {last} between epochs {mean.index[0]} and {mean.index[-1]}"
    else:
        earlier = f", as after epoch {mean.index[0]}" if len(mean) > 1 else ""
        course = f"is {last} after epoch {mean.index[-1]}{earlier}"
    sentence = f"Averaged over the blocks, the {name} {course}."
    chart = partial(block_curves, table, column, f"{name} ({unit})", "block")
    rows, file_name = table[["epoch", "block", column]], f"training-{column.replace('_', '-')}"
    return Finding(file_name, f"chart of the {name}", sentence, chart, rows, f"{method} {_measured(watched)}")


def _measured(watched: str) -> str:
    return f"Measured on the {watched} after every epoch."


def training_utilization(metrics: Sequence[HistoryRow], block: int, watched: str) -> Finding | None:
    """Show how much each expert of a block is used over epochs, or None if `metrics` holds no routing of it."""
    table = utilization_table(metrics)
    table = table[table["block"] == block]
    if table.empty:
        return None
    epoch = table["epoch"].max()
    last = table[table["epoch"] == epoch].set_index("expert")["utilization"]
    sentence = (
        f"After epoch {epoch}, expert {last.idxmax()} of block {block} is used {last.max():.2f} times a fair share, and expert "
        f"{last.idxmin()}, {last.min():.2f} times."
        if last.max() - last.min() >= 0.005
        else ALIKE
    )
    chart = partial(block_curves, table, "utilization", "utilization", "expert")
    method = f"Utilization is K times the mean weight, so 1 is a fair share. {_measured(watched)}"
    return Finding(f"training-utilization-block-{block}", "utilization chart", sentence, chart, table, method)
