"""Heat maps with a column per expert or factor, and the confusion matrix. Blocks and experts are counted from 1."""

from collections.abc import Sequence
from typing import Any

import altair as alt
import pandas as pd

from expertnet.charts.base import CELL, INK, ORANGE, PALE, ROW, SKY, TEXT, layered, rows_axis, rows_height, tooltips

NUMBERED, WORD = 12, 5  # classes whose cells have room for numbers, and letters of a name that stays horizontal
BRIGHT = 0.43  # the share of viridis from which black is legible on it, and below which white is


def routing_heatmap(weights: pd.DataFrame) -> alt.LayerChart:
    """Draw the routing weights of one image, blocks by experts: columns block, expert, weight."""
    return _weights(weights, "block", "weight", "Routing weights of one image, blocks by experts, with numbers")


def class_heatmap(table: pd.DataFrame, block: int, highlighted: str | None = None) -> alt.LayerChart:
    """Draw the mean weights of each class in one block, classes by experts: columns class, block, expert, weight, error.

    The row of the `highlighted` class has a frame.
    """
    described = f"Mean routing weights of each class in block {block}, with numbers"
    table = table[table["block"] == block]
    return _weights(table.assign(frame=table["class"] == highlighted), "class", "mean weight", described)


def _weights(table: pd.DataFrame, row: str, title: str, description: str) -> alt.LayerChart:
    exact = [alt.Tooltip("weight:Q", title=title, format=".4f")]
    if "error" in table:
        exact.append(alt.Tooltip("error:Q", title="standard error", format=".4f"))
    number = {"text": alt.Text("weight:Q", format=".2f"), "color": _ink("weight")}
    return _heatmap(table, row, alt.Scale(scheme="viridis", domain=[0, 1]), exact, number, description)


def factor_heatmap(table: pd.DataFrame) -> alt.LayerChart:
    """Draw the share of each block's variance that a factor explains, blocks by factors: columns block, factor, share."""
    described = "Share of the variance of the routing weights that each factor explains, with numbers"
    return share_heatmap(table, "block", "factor", "share of the variance", described)


def share_heatmap(table: pd.DataFrame, row: str, column: str, title: str, description: str) -> alt.LayerChart:
    """Draw shares, `row` by `column`: these columns and share. `title` says of what they are a share."""
    exact = alt.Tooltip("share:Q", title=title, format=".1%")
    number = {"text": alt.Text("share:Q", format=".0%"), "color": _ink("share")}
    colors = alt.Scale(scheme="viridis", domain=[0, 1], clamp=True)
    return _heatmap(table, row, colors, [exact], number, description, column)


def _ink(share: str) -> alt.ColorValue:
    """Return the color of numbers on cells whose color is that of their `share` on viridis."""
    return alt.ColorValue("white", condition={"test": f"datum.{share} > {BRIGHT}", "value": "black"})


def difference_heatmap(table: pd.DataFrame, row: str, value: str, title: str, shares: bool = False) -> alt.LayerChart:
    """Draw signed differences, `row` by expert: blue is negative, orange positive.

    `shares` writes the values as percentages.
    """
    most = max(float(table[value].abs().max()) if len(table) else 0.0, 1e-6)
    signed = alt.Scale(domain=[-most, 0, most], range=[SKY, PALE, ORANGE], interpolate="rgb")
    exact = [alt.Tooltip(f"{value}:Q", title=title, format="+.2%" if shares else "+.4f")]
    zero = {"test": f"datum['{value}'] === 0", "value": "0"}
    text = alt.Text(f"{value}:Q", format="+.1%" if shares else "+.2f", condition=zero)
    number = {"text": text, "color": alt.value(INK)}  # INK is legible on all of these colors
    return _heatmap(table, row, signed, exact, number, f"{title}, {row} by expert, with numbers")


def _heatmap(
    table: pd.DataFrame,
    row: str,
    colors: alt.Scale,
    exact: list[alt.Tooltip],
    number: dict[str, Any],
    description: str,
    column: str = "expert",
) -> alt.LayerChart:
    """Draw a cell per row and column. `exact` names the values, the colored ones first; `number` encodes the numbers on the cells.

    A click on a cell is reported under the name "cell".
    """
    axis = alt.Axis(labelAngle=0, orient="top", domain=False, ticks=False)
    x, y = alt.X(f"{column}:O", axis=axis, sort=None), rows_axis(f"{row}:O", None if row == "class" else row)
    base = alt.Chart(table).encode(x=x, y=y)
    color = alt.Color(exact[0].shorthand, legend=None, scale=colors)
    cells = base.mark_rect().encode(color=color, tooltip=[*tooltips(f"{row}:O", f"{column}:O"), *exact])
    if "frame" in table:
        width = alt.StrokeWidth("frame:N", legend=None, scale=alt.Scale(domain=[False, True], range=[0, 3]))
        cells = cells.mark_rect(stroke=TEXT).encode(strokeWidth=width)
    cells = cells.add_params(alt.selection_point(name="cell", fields=[row, column]))
    height = rows_height(table[row].nunique(), ROW if row == "class" else CELL)
    return layered(cells, base.mark_text(fontSize=12).encode(**number), height=height, description=description)


def confusion_matrix(table: pd.DataFrame, names: Sequence[str], shares: bool = False) -> alt.LayerChart:
    """Draw how often each class is taken for each: columns class, answer, images, share (of the class), without empty cells.

    Right answers are blue, and mistakes are the more orange the larger their share. `shares` writes shares instead of numbers.
    A click on a cell is reported under the name "cell".
    """
    names = list(names)
    angle = 0 if max(map(len, names)) <= WORD and len(names) <= NUMBERED else -45
    axis = alt.Axis(labelAngle=angle, orient="top", domain=False, ticks=False, labelLimit=80)
    x = alt.X("answer:N", axis=axis, sort=names, scale=alt.Scale(domain=names))
    y = rows_axis("class:N", "class").scale(alt.Scale(domain=names))
    base = alt.Chart(table).encode(x=x, y=y)
    mistakes = table[table["class"] != table["answer"]]["share"]
    most = float(mistakes.max()) if len(mistakes) else 1.0  # JSON has no NaN
    scale = alt.Scale(domain=[0, most], range=[PALE, ORANGE], interpolate="rgb", clamp=True)
    colors = alt.Color("share:Q", legend=None, scale=scale)
    color = alt.condition("datum.class === datum.answer", alt.value(SKY), colors)
    cells = base.mark_rect().encode(color=color, tooltip=tooltips("class:N", "answer:N", images=",d", share=".1%"))
    layers = [cells.add_params(alt.selection_point(name="cell", fields=["class", "answer"]))]
    if len(names) <= NUMBERED:
        text = alt.Text("share:Q", format=".0%") if shares else alt.Text("images:Q", format=",d")
        layers.append(base.mark_text(fontSize=12, color=INK).encode(text=text))
    what = "shares of each class" if shares else "numbers of images"
    described = f"Confusion matrix: {len(names)} classes by the network's answers, with {what}"
    return layered(*layers, height=rows_height(len(names), ROW), description=described)
