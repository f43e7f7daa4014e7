"""Class probabilities as bars."""

import altair as alt
import pandas as pd

from expertnet.charts.base import BLUE, GRAY, ROW, TEXT, layered, rows_axis, tooltips


def probability_bars(predictions: pd.DataFrame) -> alt.LayerChart:
    """Draw class probabilities in the order of the table: columns label, probability."""
    axis = alt.Axis(format=".0%", values=[0, 0.25, 0.5, 0.75, 1])
    x = alt.X("probability:Q", title=None, axis=axis, scale=alt.Scale(domain=[0, 1.18], nice=False))
    # The order is part of the chart, because a page that updates one keeps its rows in their old order
    y = rows_axis("label:N").sort(predictions["label"].tolist())
    base = alt.Chart(predictions).encode(x=x, y=y, tooltip=tooltips("label:N", probability=".2%"))
    bars = base.mark_bar(color=BLUE, height=16)
    numbers = base.mark_text(align="left", dx=3, color=TEXT).encode(text=alt.Text("probability:Q", format=".1%"))
    height = len(predictions) * ROW + 24
    return layered(bars, numbers, height=height, description="Probabilities of the most likely classes")


def probability_pairs(table: pd.DataFrame) -> alt.LayerChart:
    """Draw class probabilities with the network's own and with changed routing: columns label, probability, changed."""
    title, axis = "pale: own routing, full: changed weights", alt.Axis(format=".0%", values=[0, 0.5, 1])
    x = alt.X("probability:Q", title=title, scale=alt.Scale(domain=[0, 1.15], nice=False), axis=axis)
    tooltip = tooltips("label:N", probability=".2%", changed=".2%")
    base = alt.Chart(table).encode(y=rows_axis("label:N").sort(table["label"].tolist()), tooltip=tooltip)
    text = base.mark_text(align="left", dx=4, color=TEXT)
    return layered(
        base.mark_bar(color=GRAY, height=16, opacity=0.35).encode(x=x),
        base.mark_bar(color=BLUE, height=7).encode(x=alt.X("changed:Q")),
        text.encode(x=alt.X("changed:Q"), text=alt.Text("changed:Q", format=".1%")),
        height=len(table) * ROW + 24,
        description="Class probabilities: pale bars with the network's own routing, full bars with the changed weights",
    )
