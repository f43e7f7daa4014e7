"""How far probabilities can be trusted, what is gained by not answering, and what corruptions cost."""

import altair as alt
import pandas as pd

from expertnet.charts.base import (
    BLUE,
    GRAY,
    ORANGE,
    SHARE,
    color_and_dash,
    dashed_line,
    layered,
    rows_axis,
    rows_height,
    tooltips,
)

POINTS = 300  # of a curve


def reliability_diagram(table: pd.DataFrame) -> alt.LayerChart:
    """Draw accuracy against confidence in bins: columns series, confidence, accuracy, low, high, images.

    On the gray diagonal, confidence and accuracy are equal.
    """
    axis, scale = alt.Axis(format=".0%"), alt.Scale(domain=[0, 1], nice=False)
    x = alt.X("confidence:Q", title="confidence (probability of the answer)", axis=axis, scale=scale)
    y = alt.Y("accuracy:Q", title="accuracy", axis=axis, scale=scale)
    diagonal = alt.Chart(pd.DataFrame({"confidence": [0, 1], "accuracy": [0, 1]})).mark_line(color=GRAY)
    names = list(dict.fromkeys(table["series"]))
    looks = color_and_dash("series:N", names, [BLUE, ORANGE], [[1, 0], [6, 3]])
    tooltip = tooltips("series:N", images=",d", **dict.fromkeys(("confidence", "accuracy", "low", "high"), ".1%"))
    base = alt.Chart(table).encode(x=x, color=looks["color"], tooltip=tooltip)
    return layered(
        diagonal.encode(x=x, y=y),
        base.mark_rule(strokeWidth=2, opacity=0.5).encode(y=alt.Y("low:Q"), y2=alt.Y2("high:Q")),
        base.mark_line(point=True).encode(y=y, strokeDash=looks["strokeDash"]),
        height=300,
        description="Reliability diagram: accuracy against confidence, with the diagonal on which both are equal",
    )


def coverage_curve(table: pd.DataFrame, chosen: pd.DataFrame) -> alt.LayerChart:
    """Draw the accuracy of the answered images against their share: columns threshold, coverage, accuracy.

    `chosen` has one row, which is marked.
    """
    drawn = table.iloc[:: max(len(table) // POINTS, 1)]
    x = alt.X(
        "coverage:Q", title="share of images answered", axis=alt.Axis(format=".0%"), scale=alt.Scale(domain=[0, 1])
    )
    y = alt.Y("accuracy:Q", title="accuracy of the answers", axis=alt.Axis(format=SHARE), scale=alt.Scale(zero=False))
    tooltip = tooltips(threshold=".3f", coverage=".1%", accuracy=".2%")
    point = alt.Chart(chosen).mark_point(color=ORANGE, filled=True, size=120, opacity=1)
    return layered(
        alt.Chart(drawn).mark_line(color=BLUE).encode(x=x, y=y, tooltip=tooltip),
        point.encode(x=x, y=y, tooltip=tooltip),
        height=300,
        description="Accuracy of the answered images against their share, with the chosen threshold",
    )


def corruption_curves(table: pd.DataFrame, value: str, title: str) -> alt.LayerChart:
    """Draw a share against the strength of each corruption: columns corruption, strength (0 to 5), `value`."""
    names = list(dict.fromkeys(table["corruption"]))
    looks = color_and_dash("corruption:N", names, columns=3)
    x = alt.X("strength:Q", title="strength", axis=alt.Axis(tickMinStep=1, grid=False))
    y = alt.Y(f"{value}:Q", title=title, axis=alt.Axis(format=SHARE))
    tooltip = tooltips("corruption:N", "strength:O", **{value: ".1%"})
    lines = alt.Chart(table).mark_line(point=True).encode(x=x, y=y, tooltip=tooltip, **looks)
    return layered(lines, height=260, description=f"{title} against the strength of each corruption")


def difference_dots(table: pd.DataFrame, title: str) -> alt.LayerChart:
    """Draw differences with their intervals, a row each: columns name, difference, low, high."""
    axis = alt.Axis(format="+~%", orient="top", tickCount=6)
    base = alt.Chart(table).encode(
        y=rows_axis("name:N"), tooltip=tooltips("name:N", **dict.fromkeys(("difference", "low", "high"), "+.2%"))
    )
    return layered(
        dashed_line("rule", 0.0, x=alt.X("rule:Q")),
        base.mark_rule(color=BLUE, strokeWidth=2).encode(x=alt.X("low:Q", title=title, axis=axis), x2=alt.X2("high:Q")),
        base.mark_point(color=BLUE, filled=True, size=70, opacity=1).encode(x=alt.X("difference:Q")),
        height=rows_height(len(table), 24),
        description=f"{title}, with intervals",
    )
