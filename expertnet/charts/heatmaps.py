"""Heat maps of routing weights with a column per expert. Blocks and experts are counted from 1."""

from __future__ import annotations

import altair as alt
import pandas as pd

from expertnet.charts.base import CELL, INK, ORANGE, PALE, ROW, SKY, layered, rows_axis, tooltips


def routing_heatmap(weights: pd.DataFrame) -> alt.LayerChart:
    """Draw the routing weights of one image, blocks by experts: columns block, expert, weight."""
    described = "Routing weights of one image, blocks by experts, with numbers"
    return _weights(weights, "block", "block", "weight", CELL, described)


def class_heatmap(table: pd.DataFrame, block: int, select: str | None = None) -> alt.LayerChart:
    """Draw the mean weights of each class in one block, classes by experts: columns class, block, expert, weight.

    With `select`, a click on a cell is reported under that name.
    """
    described = f"Mean routing weights of each class in block {block}, with numbers"
    return _weights(table[table["block"] == block], "class", None, "mean weight", ROW, described, select)


def difference_heatmap(table: pd.DataFrame, row: str, value: str, title: str, shares: bool = False) -> alt.LayerChart:
    """Draw signed differences, `row` by expert: blue is negative, orange positive.

    `shares` writes the values as percentages.
    """
    most = max(float(table[value].abs().max()) if len(table) else 0.0, 1e-6)
    # INK is legible on all of these colors
    signed = alt.Scale(domain=[-most, 0, most], range=[SKY, PALE, ORANGE], interpolate="rgb")
    base = alt.Chart(table).encode(x=_experts_axis(), y=rows_axis(f"{row}:O", None if row == "class" else row))
    exact = alt.Tooltip(f"{value}:Q", title=title, format="+.2%" if shares else "+.4f")
    tooltip = [*tooltips(f"{row}:O", "expert:O"), exact]
    cells = base.mark_rect().encode(color=alt.Color(f"{value}:Q", legend=None, scale=signed), tooltip=tooltip)
    zero = {"test": f"datum['{value}'] === 0", "value": "0"}
    text = alt.Text(f"{value}:Q", format="+.1%" if shares else "+.2f", condition=zero)
    numbers = base.mark_text(fontSize=12, color=INK).encode(text=text)
    height = max(table[row].nunique() * (ROW if row == "class" else CELL) + 30, 3 * CELL)
    return layered(cells, numbers, height=height, description=f"{title}, {row} by expert, with numbers")


def _experts_axis() -> alt.X:
    axis = alt.Axis(labelAngle=0, orient="top", domain=False, ticks=False)
    return alt.X("expert:O", title="expert", axis=axis)


def _weights(
    table: pd.DataFrame,
    row: str,
    row_title: str | None,
    title: str,
    row_height: int,
    description: str,
    select: str | None = None,
) -> alt.LayerChart:
    axis = alt.Axis(domain=False, ticks=False, labelLimit=160, labelFlush=False)
    base = alt.Chart(table).encode(x=_experts_axis(), y=alt.Y(f"{row}:O", title=row_title, sort=None, axis=axis))
    scale = alt.Scale(scheme="viridis", domain=[0, 1])
    tooltip = [*tooltips(f"{row}:O", "expert:O"), alt.Tooltip("weight:Q", title=title, format=".4f")]
    cells = base.mark_rect().encode(color=alt.Color("weight:Q", title=title, legend=None, scale=scale), tooltip=tooltip)
    if select:
        cells = cells.add_params(alt.selection_point(name=select, fields=[row, "expert"]))
    color = alt.ColorValue("white", condition={"test": "datum.weight > 0.6", "value": "black"})
    numbers = base.mark_text(fontSize=12).encode(text=alt.Text("weight:Q", format=".2f"), color=color)
    height = max(table[row].nunique() * row_height + 30, 3 * CELL)
    return layered(cells, numbers, height=height, description=description)
