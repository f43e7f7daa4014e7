"""Curves over the epochs of a training."""

import math
from functools import cache
from importlib import resources
from typing import Any, cast

import altair as alt
import pandas as pd

from expertnet.charts.base import (
    BLUE,
    GRAY,
    ORANGE,
    SHARE,
    TEXT,
    color_and_dash,
    dashed_line,
    layered,
    scale_of,
    tooltips,
)
from expertnet.utils.text import counted

REPORT_ACCURACY = 0.9053  # of the reference report on CIFAR-10's test set, a fraction
SMOOTHED = 10  # points of steps.jsonl, of at most 500
LEGEND = 52  # pixels
REPORT_FIRST_EPOCH = 61  # earlier epochs of the report look smoothed


@cache
def report_run() -> pd.DataFrame:
    """Return epochs 61 to 100 of the reference report: epoch, loss, accuracy (a fraction), on CIFAR-10's test set."""
    with resources.files("expertnet.charts").joinpath("report-run.csv").open() as file:
        table = pd.read_csv(file)
    table = table[table["epoch"] >= REPORT_FIRST_EPOCH].reset_index(drop=True)
    return table[["epoch"]].assign(loss=table["test_loss"], accuracy=table["test_accuracy_percent"] / 100)


def learning_curves(
    metrics: pd.DataFrame, quantity: str, epochs: int, validation: str = "validation", report: bool = False
) -> alt.LayerChart:
    """Draw a quantity, "loss" or "accuracy", of training and validation over epochs.

    `metrics` has the columns of metrics.jsonl, and `epochs` is how many the run will have. `validation` names what val_* was
    measured on. `report` adds the reference report's curve in gray.
    """
    names = {f"train_{quantity}": "training", f"val_{quantity}": validation}
    tidy = metrics[["epoch", *names]].melt("epoch", list(names), "series", "value").dropna()
    tidy["series"] = tidy["series"].map(names)
    tidy["value"] = tidy["value"].astype(float)
    measure, axis = "cross entropy (nats)", alt.Axis()
    if quantity == "accuracy":
        measure, axis = "share of images", alt.Axis(format=SHARE)
    scale = alt.Scale(zero=False) if report else scale_of(tidy["value"])  # the report has more than one value
    y = alt.Y("value:Q", title=measure, scale=scale, axis=axis)
    shared = epochs >= REPORT_FIRST_EPOCH
    x = _epochs(max(epochs, 100) if report and shared else epochs)
    looks = color_and_dash("series:N", list(names.values()), [BLUE, ORANGE], [[6, 3], [1, 0]])
    tooltip = ["epoch:Q", "series:N", alt.Tooltip("value:Q", title=quantity, format=".4f")]
    lines = alt.Chart(tidy).mark_line(point=_points(metrics)).encode(x=x, y=y, **looks, tooltip=tooltip)
    title = quantity.capitalize()
    described = f"{title} over {counted(len(metrics), 'epoch')}: training and {validation}"
    if not report:
        return layered(lines, height=220, title=title, description=described)
    chart = layered(*_report_layers(quantity, y, shared), lines, height=220, title=title)
    if not shared:  # a short run uses the full width, and the report has its own axis
        chart = chart.resolve_scale(x="independent")
    return cast(alt.LayerChart, chart.properties(description=f"{described}, with the reference report's in gray"))


def step_curve(steps: pd.DataFrame, quantity: str) -> alt.LayerChart:
    """Draw "loss" or "images_per_second" of the steps so far, smoothed. `steps` has the columns of steps.jsonl."""
    title, axis = ("Training loss", "cross entropy (nats)") if quantity == "loss" else ("Speed", "images per second")
    table = steps[["epoch"]].assign(value=steps[quantity].ewm(span=SMOOTHED).mean())
    lines = alt.Chart(table).mark_line(color=BLUE, point=_points(table) if len(table) < 4 else False)
    lines = lines.encode(
        x=alt.X("epoch:Q", title="epoch", axis=alt.Axis(grid=False), scale=alt.Scale(nice=False)),
        y=alt.Y("value:Q", title=axis, scale=scale_of(table["value"])),
        tooltip=tooltips(epoch=".2f", value=".4~g"),
    )
    # as tall as a chart with a legend, whose place it takes
    return layered(lines, height=220 + LEGEND, title=title, description=f"{title} over the steps so far, smoothed")


def _epochs(last: int) -> alt.X:
    """Return an axis over the whole run, so that it stays fixed while the curves grow."""
    axis = alt.Axis(tickMinStep=1, format="d", grid=False)
    return alt.X("epoch:Q", title="epoch", axis=axis, scale=alt.Scale(domain=[0.5, last + 0.5], nice=False))


def _points(table: pd.DataFrame) -> alt.OverlayMarkDef:
    """Return the dots on a curve, larger while there are too few epochs for a line."""
    return alt.OverlayMarkDef(size=60 if table["epoch"].nunique() < 4 else 18)


def _report_layers(quantity: str, y: alt.Y, shared: bool) -> list[Any]:
    """Return the report's curve and, for accuracy, a line at its final value.

    Unless the epoch axis is `shared`, the curve has its own axis at the top.
    """
    table = report_run().rename(columns={quantity: "value"})[["epoch", "value"]]
    table = table.assign(text="reference report, test set")
    axis = alt.Axis(orient="top", title="epoch of the reference report", titleColor=TEXT, labelColor=TEXT, grid=False)
    own = alt.X("epoch:Q", axis=axis, scale=alt.Scale(domain=[REPORT_FIRST_EPOCH, 100], nice=False))
    x = alt.X("epoch:Q") if shared else own
    tooltip = ["text:N", "epoch:Q", alt.Tooltip("value:Q", title=quantity, format=".4f")]
    layers: list[Any] = [alt.Chart(table).mark_line(color=GRAY, opacity=0.6).encode(x=x, y=y, tooltip=tooltip)]
    if quantity == "accuracy":
        layers += _level("value", REPORT_ACCURACY, "report: 90.53%", y)
    return layers


def _level(field: str, value: float, text: str, y: alt.Y) -> list[alt.Chart]:
    """Return a dashed line across the chart with its text."""
    line = dashed_line(field, value, y=y)
    label = line.mark_text(align="left", dx=4, dy=-8, color=TEXT)
    return [line, label.encode(x=alt.value(0), text=alt.value(text))]


def entropy_curves(metrics: pd.DataFrame, num_experts: int, epochs: int) -> alt.LayerChart:
    """Draw the mean routing entropy of each block over epochs, in nats, below its maximum ln K."""
    rows = [
        (epoch, block, value)
        for epoch, values in zip(metrics["epoch"], metrics["routing_entropy"], strict=True)
        for block, value in enumerate(values or [], 1)
        if value is not None
    ]
    tidy = pd.DataFrame(rows, columns=["epoch", "block", "entropy"])
    most = math.log(num_experts)
    y = alt.Y("entropy:Q", title="entropy (nats)", scale=alt.Scale(domain=[0, most * 1.12], nice=False))
    lines = _lines(tidy, "entropy", "block").encode(x=_epochs(epochs), y=y)
    title = "Routing entropy of each block"
    described = f"{title} over epochs, with the limit of an even split"
    return layered(*_level("entropy", most, "even split", y), lines, height=220, title=title, description=described)


def block_curves(table: pd.DataFrame, value: str, title: str, series: str) -> alt.LayerChart:
    """Draw a quantity over epochs with a line per value of the column `series`: columns epoch, `series`, `value`."""
    lines = _lines(table, value, series).encode(x=_epochs(table["epoch"].max()), y=alt.Y(f"{value}:Q", title=title))
    return layered(lines, height=220, description=f"{title} by {series} over epochs")


def _lines(table: pd.DataFrame, value: str, series: str) -> alt.Chart:
    names = sorted(table[series].unique().tolist())
    looks = color_and_dash(f"{series}:O", names, title=series, columns=8)
    tooltip = tooltips("epoch:Q", f"{series}:O", **{value: ".4f"})
    return alt.Chart(table).mark_line(point=_points(table)).encode(**looks, tooltip=tooltip)
