"""Tidy frames -> Altair charts: pure, so that a notebook draws what the pages draw.

In this module: learning_curves, overlay, entropy_curves, routing_heatmap, entropy_bars, class_heatmap,
probability_bars and architecture. Series are told apart by dash or place as well as by colour (Okabe and Ito's palette).
"""

from __future__ import annotations

import math
from functools import cache
from importlib import resources
from typing import Any, Literal, cast

import altair as alt
import pandas as pd

BLUE, ORANGE, GREEN, PURPLE, SKY, GREY = "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#8A8F98"
PALETTE = [BLUE, ORANGE, GREEN, PURPLE, SKY, "#D55E00", "#A58B00", GREY]
WEIGHT_SCALE: Literal["viridis"] = "viridis"
REPORT_ACCURACY = 0.9053  # of the reference report, on CIFAR-10


def _layered(layers: list[alt.Chart], height: float, description: str) -> alt.LayerChart:
    """Charts over one another; the description is what a screen reader says."""
    return cast(alt.LayerChart, alt.layer(*layers).properties(height=height, description=description))


@cache
def report_run() -> pd.DataFrame:
    """The reference report's epochs 61 to 100; the earlier ones look smoothed there and are left out."""
    with resources.files("expertnet").joinpath("data/report-run.csv").open() as file:
        table = pd.read_csv(file)
    return table[table["epoch"] > 60].reset_index(drop=True)


def learning_curves(
    metrics: pd.DataFrame, quantity: str, validation: str = "validation", report: bool = False
) -> alt.LayerChart:
    """Training and validation over epochs; `quantity` is "loss" or "accuracy", `validation` what val_* was measured on.

    With report=True the reference report's epochs 61 to 100 (and its final accuracy, as a line) lie faintly behind.
    """
    names = {f"train_{quantity}": "training", f"val_{quantity}": validation}
    tidy = metrics.melt("epoch", list(names), "series", "value").dropna()
    tidy["series"] = tidy["series"].map(names)
    title = "Loss (cross entropy, nats)" if quantity == "loss" else "Accuracy (share of pictures)"
    y = alt.Y(
        "value:Q",
        title=title,
        scale=alt.Scale(zero=False),
        axis=alt.Axis(format="%" if quantity == "accuracy" else "~g"),
    )
    scale: dict[str, Any] = {"domain": list(names.values()), "range": [BLUE, ORANGE]}
    base = alt.Chart(tidy).encode(
        x=alt.X("epoch:Q", title="Epoch", axis=alt.Axis(tickMinStep=1, format="d")),
        y=y,
        color=alt.Color("series:N", title=None, scale=alt.Scale(**scale), legend=alt.Legend(orient="top", symbolType="stroke")),
        strokeDash=alt.StrokeDash(
            "series:N", title=None, scale=alt.Scale(domain=scale["domain"], range=[[5, 3], [1, 0]]), legend=None
        ),
        tooltip=["epoch:Q", "series:N", alt.Tooltip("value:Q", format=".4f")],
    )
    layers: list[alt.Chart] = [base.mark_line(point=alt.OverlayMarkDef(size=18))]
    if report:
        layers = [*_report_layers(quantity, y), *layers]
    return _layered(
        layers, height=230, description=f"{quantity} of training and {validation} over {len(metrics)} epochs"
    )


def _report_layers(quantity: str, y: alt.Y) -> list[alt.Chart]:
    frame = report_run()
    divisor = 100 if quantity == "accuracy" else 1
    column = "test_accuracy_percent" if quantity == "accuracy" else "test_loss"
    table = pd.DataFrame(
        {"epoch": frame["epoch"], "value": frame[column] / divisor, "text": "reference report, test set"}
    )
    line = (
        alt.Chart(table)
        .mark_line(color=GREY, opacity=0.55, strokeWidth=1.5)
        .encode(x="epoch:Q", y=y, tooltip=["text:N", "epoch:Q", "value:Q"])
    )
    if quantity != "accuracy":
        return [line]
    final = pd.DataFrame({"value": [REPORT_ACCURACY], "text": ["report 90.53 %"]})
    rule = alt.Chart(final).mark_rule(color=GREY, opacity=0.6, strokeDash=[2, 3]).encode(y=y)
    label = alt.Chart(final).mark_text(align="left", dx=4, dy=-7, color=GREY).encode(x=alt.value(0), y=y, text="text:N")
    return [line, rule, label]


def overlay(curves: pd.DataFrame, quantity: str) -> alt.Chart:
    """Several runs' curves: columns run, epoch, value; `quantity` names the y axis."""
    names = list(dict.fromkeys(curves["run"]))
    dashes = [[1, 0], [5, 3], [2, 2], [8, 3, 2, 3], [1, 3]]
    return (
        alt.Chart(curves)
        .mark_line(point=alt.OverlayMarkDef(size=14))
        .encode(
            x=alt.X("epoch:Q", title="Epoch", axis=alt.Axis(tickMinStep=1, format="d")),
            y=alt.Y("value:Q", title=quantity, scale=alt.Scale(zero=False)),
            color=alt.Color(
                "run:N", title="Run", scale=alt.Scale(domain=names, range=[PALETTE[i % 8] for i in range(len(names))])
            ),
            strokeDash=alt.StrokeDash(
                "run:N", title="Run", scale=alt.Scale(domain=names, range=[dashes[i % 5] for i in range(len(names))])
            ),
            tooltip=["run:N", "epoch:Q", alt.Tooltip("value:Q", format=".4f")],
        )
        .properties(height=280, description=f"{quantity} of {len(names)} runs over epochs")
    )


def entropy_curves(metrics: pd.DataFrame, num_experts: int) -> alt.LayerChart:
    """Routing entropy of each block over epochs, in nats, under its maximum ln K."""
    rows = [
        (epoch, block, value)
        for epoch, values in zip(metrics["epoch"], metrics["routing_entropy"], strict=True)
        for block, value in enumerate(values or [], 1)
    ]
    tidy = pd.DataFrame(rows, columns=["epoch", "block", "entropy"])
    y = alt.Y(
        "entropy:Q", title="Routing entropy (nats)", scale=alt.Scale(domain=[0, max(math.log(num_experts), 0.1) * 1.05])
    )
    lines = (
        alt.Chart(tidy)
        .mark_line(point=alt.OverlayMarkDef(size=14))
        .encode(
            x=alt.X("epoch:Q", title="Epoch", axis=alt.Axis(tickMinStep=1, format="d")),
            y=y,
            color=alt.Color(
                "block:O",
                title="Block",
                scale=alt.Scale(scheme="viridis"),
                legend=alt.Legend(columns=2, symbolLimit=20),
            ),
            tooltip=["epoch:Q", "block:O", alt.Tooltip("entropy:Q", format=".3f")],
        )
    )
    most = (
        alt.Chart(pd.DataFrame({"entropy": [math.log(num_experts)]}))
        .mark_rule(color=GREY, strokeDash=[2, 3])
        .encode(y=y)
    )
    return _layered(
        [lines, most],
        height=230,
        description="Routing entropy of each block over epochs; the dashed line is its maximum",
    )


def routing_heatmap(weights: pd.DataFrame) -> alt.LayerChart:
    """Blocks x experts with the numbers, from columns block, expert, weight."""
    base = alt.Chart(weights).encode(
        x=alt.X("expert:O", title="Expert", axis=alt.Axis(labelAngle=0)), y=alt.Y("block:O", title="Block")
    )
    cells = base.mark_rect().encode(
        color=alt.Color("weight:Q", title="Weight", scale=alt.Scale(scheme=WEIGHT_SCALE, domain=[0, 1])),
        tooltip=["block:O", "expert:O", alt.Tooltip("weight:Q", format=".4f")],
    )
    text = base.mark_text(fontSize=12).encode(
        text=alt.Text("weight:Q", format=".2f"),
        color=alt.condition("datum.weight > 0.6", alt.value("black"), alt.value("white")),
    )
    blocks = weights["block"].nunique()
    return _layered(
        [cells, text], height=max(blocks * 34, 120), description="Routing weights of one picture, blocks by experts"
    )


def entropy_bars(entropy: pd.DataFrame, num_experts: int) -> alt.LayerChart:
    """One picture's routing entropy a block (columns block, entropy) against its maximum ln K."""
    most = max(math.log(num_experts), 1e-9)
    x = alt.X(
        "entropy:Q",
        title=f"Entropy (nats, at most ln {num_experts} = {math.log(num_experts):.2f})",
        scale=alt.Scale(domain=[0, most]),
    )
    bars = (
        alt.Chart(entropy)
        .mark_bar(color=BLUE)
        .encode(x=x, y=alt.Y("block:O", title="Block"), tooltip=["block:O", alt.Tooltip("entropy:Q", format=".3f")])
    )
    text = (
        alt.Chart(entropy)
        .mark_text(align="left", dx=3, color=GREY)
        .encode(x=x, y="block:O", text=alt.Text("entropy:Q", format=".2f"))
    )
    return _layered(
        [bars, text], height=max(len(entropy) * 34, 120), description="Routing entropy of one picture, a bar a block"
    )


def class_heatmap(table: pd.DataFrame, block: int) -> alt.LayerChart:
    """Mean weights by class in one block: classes x experts with the numbers."""
    chosen = table[table["block"] == block]
    base = alt.Chart(chosen).encode(
        x=alt.X("expert:O", title="Expert", axis=alt.Axis(labelAngle=0)),
        y=alt.Y("class:N", title=None, sort=list(dict.fromkeys(chosen["class"]))),
    )
    cells = base.mark_rect().encode(
        color=alt.Color("weight:Q", title="Mean weight", scale=alt.Scale(scheme=WEIGHT_SCALE, domain=[0, 1])),
        tooltip=["class:N", "expert:O", alt.Tooltip("weight:Q", format=".4f")],
    )
    text = base.mark_text(fontSize=12).encode(
        text=alt.Text("weight:Q", format=".2f"),
        color=alt.condition("datum.weight > 0.6", alt.value("black"), alt.value("white")),
    )
    return _layered(
        [cells, text],
        height=max(chosen["class"].nunique() * 24, 120),
        description=f"Mean routing weights of each class in block {block}",
    )


def probability_bars(predictions: pd.DataFrame) -> alt.LayerChart:
    """Class probabilities, largest first: columns label, probability."""
    x = alt.X("probability:Q", title=None, axis=alt.Axis(format="%"), scale=alt.Scale(domain=[0, 1.12], nice=False))
    y = alt.Y("label:N", title=None, sort=list(predictions["label"]))
    bars = (
        alt.Chart(predictions)
        .mark_bar(color=BLUE)
        .encode(x=x, y=y, tooltip=["label:N", alt.Tooltip("probability:Q", format=".2%")])
    )
    text = (
        alt.Chart(predictions)
        .mark_text(align="left", dx=3, color=GREY)
        .encode(x=x, y=y, text=alt.Text("probability:Q", format=".1%"))
    )
    return _layered(
        [bars, text], height=len(predictions) * 28 + 24, description="Probabilities of the likeliest classes"
    )


def _stage_label(channels: int, size: int, experts: int) -> str:
    maps = f"{channels} x {size} x {size}" if size > 1 else str(channels)
    return maps + (f"   {experts} experts" if experts else "")


def architecture(stages: pd.DataFrame) -> alt.LayerChart:
    """A sketch from picture (top) to classes: columns name, channels, size, experts; bars are as wide as the maps are large."""
    table = stages.copy()
    table["label"] = [
        _stage_label(*row) for row in table[["channels", "size", "experts"]].itertuples(index=False, name=None)
    ]
    table["kind"] = ["experts" if experts else "plain" for experts in table["experts"]]
    y = alt.Y("name:N", sort=list(table["name"]), title=None, axis=alt.Axis(domain=False, ticks=False))
    x = alt.X("size:Q", title=None, axis=None, scale=alt.Scale(domain=[0, int(table["size"].max() * 2.2)], nice=False))
    bars = (
        alt.Chart(table)
        .mark_bar(cornerRadius=3, height=15)
        .encode(
            x=x,
            y=y,
            color=alt.Color("kind:N", legend=None, scale=alt.Scale(domain=["experts", "plain"], range=[BLUE, GREY])),
            tooltip=["name:N", "label:N"],
        )
    )
    text = alt.Chart(table).mark_text(align="left", dx=6, color=GREY).encode(x=x, y=y, text="label:N")
    return _layered(
        [bars, text],
        height=len(table) * 22 + 8,
        description="The network from picture to classes: "
        + ", ".join(f"{name} {label}" for name, label in zip(table["name"], table["label"], strict=True)),
    )
