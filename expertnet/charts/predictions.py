"""Class probabilities as bars."""

from __future__ import annotations

import altair as alt
import pandas as pd

from expertnet.charts.base import BLUE, GREY, ROW, layered, rows_axis, tooltips


def probability_bars(predictions: pd.DataFrame) -> alt.LayerChart:
    """Draw class probabilities in the order of the table: columns label, probability."""
    x = alt.X(
        "probability:Q",
        title=None,
        axis=alt.Axis(format=".0%", values=[0, 0.25, 0.5, 0.75, 1]),
        scale=alt.Scale(domain=[0, 1.18], nice=False),
    )
    y = alt.Y("label:N", title=None, sort=None, axis=alt.Axis(domain=False, ticks=False, labelLimit=160))
    tooltip = [*tooltips("label:N"), alt.Tooltip("probability:Q", format=".2%")]
    bars = alt.Chart(predictions).mark_bar(color=BLUE, height=16).encode(x=x, y=y, tooltip=tooltip)
    text = alt.Chart(predictions).mark_text(align="left", dx=3, color=GREY)
    return layered(
        bars,
        text.encode(x=x, y=y, text=alt.Text("probability:Q", format=".1%")),
        height=len(predictions) * ROW + 24,
        description="Probabilities of the most likely classes",
    )


def probability_pairs(table: pd.DataFrame) -> alt.LayerChart:
    """Draw class probabilities with the network's own and with changed routing: columns label, probability, changed."""
    x = alt.X(
        "probability:Q",
        title="pale: own routing, full: changed weights",
        scale=alt.Scale(domain=[0, 1.15], nice=False),
        axis=alt.Axis(format=".0%", values=[0, 0.5, 1]),
    )
    shares = (alt.Tooltip(field, format=".2%") for field in ("probability:Q", "changed:Q"))
    base = alt.Chart(table).encode(y=rows_axis("label:N"), tooltip=[*tooltips("label:N"), *shares])
    return layered(
        base.mark_bar(color=GREY, height=16, opacity=0.35).encode(x=x),
        base.mark_bar(color=BLUE, height=7).encode(x=alt.X("changed:Q")),
        base.mark_text(align="left", dx=4, color=GREY).encode(
            x=alt.X("changed:Q"), text=alt.Text("changed:Q", format=".1%")
        ),
        height=len(table) * ROW + 24,
        description="Class probabilities: pale bars with the network's own routing, full bars with the changed weights",
    )
