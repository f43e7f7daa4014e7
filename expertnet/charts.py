"""Tidy frames -> Altair charts: pure, so that a notebook draws what the pages draw.

In this module: learning_curves, overlay, entropy_curves, routing_heatmap, entropy_bars, class_heatmap,
probability_bars, architecture, and report_run, the reference report's own curve. Colours are Okabe and Ito's, which the
colour-blind can tell apart; no series is told by its colour alone, but by dash, place or number too.
"""

from __future__ import annotations

import math
from functools import cache
from importlib import resources
from typing import Any, cast

import altair as alt
import pandas as pd

BLUE, ORANGE, GREEN, PURPLE, RED, SKY = "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9"
GREY = "#868E96"  # text and marks that must be legible on white and on black
PALETTE = [BLUE, ORANGE, GREEN, PURPLE, RED, SKY]
DASHES = [[1, 0], [6, 3], [2, 2], [8, 3, 2, 3], [1, 3]]  # as many as no multiple of the colours, so that pairs differ
CELL, ROW = 34, 26  # pixels: a heat map's row, a bar's row
FIT_WIDTH = alt.AutoSizeParams(type="fit-x", contains="padding")  # heights are those of the rows, axes come on top
REPORT_ACCURACY = 0.9053  # of the reference report, on CIFAR-10's test set
REPORT_FIRST_EPOCH = 61  # the report's earlier epochs look smoothed


@cache
def report_run() -> pd.DataFrame:
    """The reference report's epochs 61 to 100: epoch, loss, accuracy (a fraction), both on CIFAR-10's test set."""
    with resources.files("expertnet").joinpath("data/report-run.csv").open() as file:
        table = pd.read_csv(file)
    table = table[table["epoch"] >= REPORT_FIRST_EPOCH]
    return pd.DataFrame(
        {
            "epoch": table["epoch"],
            "loss": table["test_loss"],
            "accuracy": table["test_accuracy_percent"] / 100,
        }
    ).reset_index(drop=True)


def _layered(*layers: Any, **properties: Any) -> alt.LayerChart:
    """Charts over one another; Altair's own types say that this might be a facet, which it cannot."""
    return cast(alt.LayerChart, alt.layer(*layers).properties(autosize=FIT_WIDTH, **properties))


# --- training --------------------------------------------------------------------------------------------------------


def learning_curves(
    metrics: pd.DataFrame, quantity: str, epochs: int, validation: str = "validation", report: bool = False
) -> alt.LayerChart:
    """Training and validation over epochs.

    `metrics` has the columns of metrics.jsonl; `quantity` is "loss" or "accuracy"; `epochs` is how many the run goes
    through; `validation` says what val_* was measured on. With report=True the reference report lies faintly behind.
    """
    names = {f"train_{quantity}": "training", f"val_{quantity}": validation}
    tidy = metrics.melt("epoch", list(names), "series", "value").dropna()
    tidy["series"] = tidy["series"].map(names)
    tidy["value"] = tidy["value"].astype(float)
    y = _quantity_axis(quantity)
    shared = epochs >= REPORT_FIRST_EPOCH
    lines = (
        alt.Chart(tidy)
        .mark_line(point=alt.OverlayMarkDef(size=18))
        .encode(
            x=_epochs(max(epochs, 100) if report and shared else epochs),
            y=y,
            **_told_apart("series:N", list(names.values()), [BLUE, ORANGE], [[6, 3], [1, 0]]),
            tooltip=["epoch:Q", "series:N", alt.Tooltip("value:Q", title=quantity, format=".4f")],
        )
    )
    title = "Loss" if quantity == "loss" else "Accuracy"
    described = f"{title} of training and {validation} over {len(metrics)} epochs"
    if not report:
        return _layered(lines, height=220, title=title, description=described)
    chart = _layered(*_report_layers(quantity, y, shared), lines, height=220, title=title)
    if not shared:  # a short run keeps the width; the report's epochs stand on an axis of their own
        chart = chart.resolve_scale(x="independent")
    return cast(alt.LayerChart, chart.properties(description=f"{described}, before the reference report's"))


def _quantity_axis(quantity: str) -> alt.Y:
    if quantity == "loss":
        return alt.Y("value:Q", title="cross entropy (nats)", scale=alt.Scale(zero=False))
    return alt.Y("value:Q", title="share of pictures (%)", scale=alt.Scale(zero=False), axis=alt.Axis(format=".0%"))


def _epochs(last: int) -> alt.X:
    """The whole of the run from its start, so that the curves grow and the axis stays."""
    axis = alt.Axis(tickMinStep=1, format="d", grid=False)
    return alt.X("epoch:Q", title="epoch", axis=axis, scale=alt.Scale(domain=[0, last], nice=False))


def _told_apart(
    field: str,
    names: list[Any],
    colours: list[str] = PALETTE,
    dashes: list[list[int]] = DASHES,
    title: str | None = None,
    **legend: Any,
) -> dict[str, Any]:
    """Encodings that give every series a colour and a dash, with one legend for both."""
    options: dict[str, Any] = {"orient": "top", "columns": 12, "symbolType": "stroke", "symbolSize": 400} | legend
    shown = alt.Legend(**options)
    ranges: list[Any] = [[values[index % len(values)] for index in range(len(names))] for values in (colours, dashes)]
    scales = [alt.Scale(domain=names, range=values) for values in ranges]
    return {
        "color": alt.Color(field, title=title, legend=shown, scale=scales[0]),
        "strokeDash": alt.StrokeDash(field, title=title, legend=shown, scale=scales[1]),
    }


def _report_layers(quantity: str, y: alt.Y, shared: bool) -> list[Any]:
    """The report's curve, and for the accuracy a line where it ended. Not shared: on an epoch axis of its own, above."""
    table = (
        report_run().rename(columns={quantity: "value"})[["epoch", "value"]].assign(text="reference report, test set")
    )
    axis = alt.Axis(orient="top", title="epoch of the reference report", titleColor=GREY, labelColor=GREY, grid=False)
    x = (
        alt.X("epoch:Q")
        if shared
        else alt.X("epoch:Q", axis=axis, scale=alt.Scale(domain=[REPORT_FIRST_EPOCH, 100], nice=False))
    )
    tooltip = ["text:N", "epoch:Q", alt.Tooltip("value:Q", title=quantity, format=".4f")]
    layers: list[Any] = [alt.Chart(table).mark_line(color=GREY, opacity=0.6).encode(x=x, y=y, tooltip=tooltip)]
    if quantity == "accuracy":
        final = pd.DataFrame({"value": [REPORT_ACCURACY], "text": ["report: 90.53 %"]})
        layers.append(alt.Chart(final).mark_rule(color=GREY, strokeDash=[2, 3]).encode(y=y))
        layers.append(
            alt.Chart(final).mark_text(align="left", dx=4, dy=9, color=GREY).encode(x=alt.value(0), y=y, text="text:N")
        )
    return layers


def entropy_curves(metrics: pd.DataFrame, num_experts: int, epochs: int) -> alt.LayerChart:
    """Routing entropy of each block over epochs, in nats, under its maximum ln K."""
    tidy = pd.DataFrame(
        [
            (epoch, block, value)
            for epoch, values in zip(metrics["epoch"], metrics["routing_entropy"], strict=True)
            for block, value in enumerate(values or [], 1)
            if value is not None
        ],
        columns=["epoch", "block", "entropy"],
    )
    blocks = sorted(tidy["block"].unique().tolist())
    most = math.log(num_experts)
    y = alt.Y("entropy:Q", title="entropy (nats)", scale=alt.Scale(domain=[0, most * 1.12], nice=False))
    lines = (
        alt.Chart(tidy)
        .mark_line(point=alt.OverlayMarkDef(size=16))
        .encode(
            x=_epochs(epochs),
            y=y,
            **_told_apart("block:O", blocks, title="block"),
            tooltip=["epoch:Q", "block:O", alt.Tooltip("entropy:Q", format=".4f")],
        )
    )
    limit = pd.DataFrame({"entropy": [most], "text": [f"all experts alike: ln {num_experts} = {most:.2f}"]})
    rule = alt.Chart(limit).mark_rule(color=GREY, strokeDash=[2, 3]).encode(y=y)
    label = alt.Chart(limit).mark_text(align="left", dx=4, dy=-8, color=GREY).encode(x=alt.value(0), y=y, text="text:N")
    return _layered(
        rule,
        label,
        lines,
        height=220,
        title="Routing entropy a block",
        description="Routing entropy of each block over epochs, under its maximum",
    )


def overlay(curves: pd.DataFrame, quantity: str) -> alt.Chart:
    """Several runs' curves: columns run, epoch, value; `quantity` names the y axis."""
    names = list(dict.fromkeys(curves["run"]))
    return (
        alt.Chart(curves)
        .mark_line(point=alt.OverlayMarkDef(size=16))
        .encode(
            x=alt.X("epoch:Q", title="epoch", axis=alt.Axis(tickMinStep=1, format="d", grid=False)),
            y=alt.Y(
                "value:Q",
                title=quantity,
                scale=alt.Scale(zero=False),
                axis=alt.Axis(format=".0%") if "accuracy" in quantity.lower() else alt.Axis(),
            ),
            **_told_apart("run:N", names, orient="bottom", columns=1, labelLimit=600),
            tooltip=["run:N", "epoch:Q", alt.Tooltip("value:Q", format=".4f")],
        )
        .properties(autosize=FIT_WIDTH, height=240, description=f"{quantity} of {len(names)} runs over epochs")
    )


# --- routing ---------------------------------------------------------------------------------------------------------


def _heatmap(
    table: pd.DataFrame, row: str, title: str | None, weight: str, height: int, description: str
) -> alt.LayerChart:
    base = alt.Chart(table).encode(
        x=alt.X("expert:O", title="expert", axis=alt.Axis(labelAngle=0, orient="top", domain=False, ticks=False)),
        y=alt.Y(
            f"{row}:O",
            title=title,
            sort=None,
            axis=alt.Axis(domain=False, ticks=False, labelLimit=160, labelFlush=False),
        ),
    )
    cells = base.mark_rect().encode(
        color=alt.Color("weight:Q", title=weight, legend=None, scale=alt.Scale(scheme="viridis", domain=[0, 1])),
        tooltip=[f"{row}:O", "expert:O", alt.Tooltip("weight:Q", title=weight, format=".4f")],
    )
    numbers = base.mark_text(fontSize=12).encode(
        text=alt.Text("weight:Q", format=".2f"),
        color=alt.condition("datum.weight > 0.6", alt.value("black"), alt.value("white")),
    )
    return _layered(cells, numbers, height=max(height, 3 * CELL), description=description)


def routing_heatmap(weights: pd.DataFrame) -> alt.LayerChart:
    """One picture's routing weights, blocks x experts with the numbers: columns block, expert, weight."""
    height = weights["block"].nunique() * CELL + 30
    return _heatmap(
        weights, "block", "block", "weight", height, "Routing weights of one picture, blocks by experts, as numbers"
    )


def class_heatmap(table: pd.DataFrame, block: int) -> alt.LayerChart:
    """Mean weights by class in one block, classes x experts: columns class, block, expert, weight."""
    chosen = table[table["block"] == block]
    height = chosen["class"].nunique() * ROW + 30
    return _heatmap(
        chosen, "class", None, "mean weight", height, f"Mean routing weights of each class in block {block}, as numbers"
    )


def entropy_bars(entropy: pd.DataFrame, num_experts: int) -> alt.LayerChart:
    """One picture's routing entropy a block (columns block, entropy) against its maximum ln K."""
    most = math.log(num_experts)
    x = alt.X(
        "entropy:Q",
        title=f"nats, at most ln {num_experts} = {most:.2f}",
        scale=alt.Scale(domain=[0, max(most, 1e-9) * 1.25], nice=False),
        axis=alt.Axis(values=[0, most / 2, most], format=".2f", orient="top"),
    )
    y = alt.Y("block:O", title="block", axis=alt.Axis(domain=False, ticks=False))
    tooltip = ["block:O", alt.Tooltip("entropy:Q", format=".4f")]
    bars = alt.Chart(entropy).mark_bar(color=BLUE, height=14).encode(x=x, y=y, tooltip=tooltip)
    text = alt.Chart(entropy).mark_text(align="left", dx=3, color=GREY)
    return _layered(
        bars,
        text.encode(x=x, y=y, text=alt.Text("entropy:Q", format=".2f")),
        height=max(len(entropy) * CELL + 30, 3 * CELL),
        description="Routing entropy of one picture, a bar a block",
    )


# --- classes and the network -----------------------------------------------------------------------------------------


def probability_bars(predictions: pd.DataFrame) -> alt.LayerChart:
    """Class probabilities, largest first: columns label, probability."""
    x = alt.X(
        "probability:Q",
        title=None,
        axis=alt.Axis(format=".0%", values=[0, 0.25, 0.5, 0.75, 1]),
        scale=alt.Scale(domain=[0, 1.18], nice=False),
    )
    y = alt.Y("label:N", title=None, sort=None, axis=alt.Axis(domain=False, ticks=False, labelLimit=160))
    tooltip = ["label:N", alt.Tooltip("probability:Q", format=".2%")]
    bars = alt.Chart(predictions).mark_bar(color=BLUE, height=16).encode(x=x, y=y, tooltip=tooltip)
    text = alt.Chart(predictions).mark_text(align="left", dx=3, color=GREY)
    return _layered(
        bars,
        text.encode(x=x, y=y, text=alt.Text("probability:Q", format=".1%")),
        height=len(predictions) * ROW + 24,
        description="Probabilities of the likeliest classes",
    )


def architecture(stages: pd.DataFrame) -> alt.LayerChart:
    """The network from picture (left) to classes (right): columns name, channels, size, experts.

    A column is as high as its feature maps, on a logarithmic scale; a block is split into its experts.
    """
    parts = []
    for place, stage in enumerate(stages.to_dict("records")):
        height, experts = math.log2(stage["size"]) + 1, max(stage["experts"], 1)
        for part in range(experts):
            parts.append(
                {
                    "place": place,
                    "name": str(stage["name"]).removeprefix("Block "),
                    "low": -height / 2 + height * part / experts,
                    "high": -height / 2 + height * (part + (0.88 if experts > 1 else 1)) / experts,
                    "top": height / 2,
                    "kind": f"one of {experts} experts" if stage["experts"] else "layer",
                    "maps": f"{stage['channels']} x {stage['size']} x {stage['size']}",
                    "size": f"{stage['size']}²" if stage["name"] != "Classes" else f"{stage['channels']}",
                }
            )
    table = pd.DataFrame(parts)
    names = table.drop_duplicates("place")["name"].tolist()
    x = alt.X(
        "name:N", sort=names, title=None, axis=alt.Axis(labelAngle=0, domain=False, ticks=False, labelOverlap=True)
    )
    y = alt.Y("low:Q", axis=None, scale=alt.Scale(nice=False, padding=14))
    kinds = list(dict.fromkeys(table["kind"]))
    columns = (
        alt.Chart(table)
        .mark_bar(cornerRadius=2)
        .encode(
            x=x,
            y=y,
            y2="high:Q",
            color=alt.Color(
                "kind:N", legend=None, scale=alt.Scale(domain=kinds, range=[BLUE if "of" in k else GREY for k in kinds])
            ),
            tooltip=[
                alt.Tooltip("name:N", title="stage"),
                alt.Tooltip("maps:N", title="channels, height, width"),
                "kind:N",
            ],
        )
    )
    sizes = alt.Chart(table.drop_duplicates("place")).mark_text(dy=-8, color=GREY, fontSize=11)
    return _layered(
        columns,
        sizes.encode(x=x, y=alt.Y("top:Q"), text="size:N"),
        height=190,
        description="The network: "
        + ", ".join(f"{s['name']} {s['channels']} x {s['size']} x {s['size']}" for s in stages.to_dict("records")),
    )
