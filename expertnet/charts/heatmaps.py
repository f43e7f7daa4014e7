"""Heat maps of routing weights with a column per expert. Blocks and experts are counted from 1."""

from __future__ import annotations

import altair as alt
import pandas as pd

from expertnet.charts.base import CELL, INK, ORANGE, PALE, ROW, SKY, layered, rows_axis, tooltips


def routing_heatmap(weights: pd.DataFrame) -> alt.LayerChart:
    """Draw the routing weights of one image, blocks by experts: columns block, expert, weight."""
    height = weights["block"].nunique() * CELL + 30
    described = "Routing weights of one image, blocks by experts, with numbers"
    return _weights(weights, "block", "block", "weight", height, described)


def class_heatmap(table: pd.DataFrame, block: int, select: str | None = None) -> alt.LayerChart:
    """Draw the mean weights of each class in one block, classes by experts: columns class, block, expert, weight.

    With `select`, a click on a cell is reported under that name.
    """
    chosen = table[table["block"] == block]
    height = chosen["class"].nunique() * ROW + 30
    described = f"Mean routing weights of each class in block {block}, with numbers"
    return _weights(chosen, "class", None, "mean weight", height, described, select)


def difference_heatmap(table: pd.DataFrame, row: str, value: str, title: str, shares: bool = False) -> alt.LayerChart:
    """Draw signed differences, `row` by expert: blue is negative, orange positive.

    `shares` writes the values as percentages.
    """
    most = max(float(table[value].abs().max()) if len(table) else 0.0, 1e-6)
    # INK is legible on all of these colours
    signed = alt.Scale(domain=[-most, 0, most], range=[SKY, PALE, ORANGE], interpolate="rgb")
    base = alt.Chart(table).encode(x=_experts_axis(), y=rows_axis(f"{row}:O", None if row == "class" else row))
    zero = {"test": f"datum['{value}'] === 0", "value": "0"}
    cells = base.mark_rect().encode(
        color=alt.Color(f"{value}:Q", legend=None, scale=signed),
        tooltip=[
            *tooltips(f"{row}:O", "expert:O"),
            alt.Tooltip(f"{value}:Q", title=title, format="+.2%" if shares else "+.4f"),
        ],
    )
    numbers = base.mark_text(fontSize=12, color=INK).encode(
        text=alt.Text(f"{value}:Q", format="+.1%" if shares else "+.2f", condition=zero)
    )
    height = max(table[row].nunique() * (ROW if row == "class" else CELL) + 30, 3 * CELL)
    return layered(cells, numbers, height=height, description=f"{title}, {row} by expert, with numbers")


def _experts_axis() -> alt.X:
    axis = alt.Axis(labelAngle=0, orient="top", domain=False, ticks=False)
    return alt.X("expert:O", title="expert", axis=axis)


def _weights(
    table: pd.DataFrame,
    row: str,
    row_title: str | None,
    weight_title: str,
    height: int,
    description: str,
    select: str | None = None,
) -> alt.LayerChart:
    axis = alt.Axis(domain=False, ticks=False, labelLimit=160, labelFlush=False)
    base = alt.Chart(table).encode(x=_experts_axis(), y=alt.Y(f"{row}:O", title=row_title, sort=None, axis=axis))
    cells = base.mark_rect().encode(
        color=alt.Color("weight:Q", title=weight_title, legend=None, scale=alt.Scale(scheme="viridis", domain=[0, 1])),
        tooltip=[*tooltips(f"{row}:O", "expert:O"), alt.Tooltip("weight:Q", title=weight_title, format=".4f")],
    )
    if select:
        cells = cells.add_params(alt.selection_point(name=select, fields=[row, "expert"]))
    numbers = base.mark_text(fontSize=12).encode(
        text=alt.Text("weight:Q", format=".2f"),
        color=alt.ColorValue("white", condition={"test": "datum.weight > 0.6", "value": "black"}),
    )
    return layered(cells, numbers, height=max(height, 3 * CELL), description=description)
