"""Charts of a sweep: its trials over time, what matters, one setting against the accuracy, and accuracy against cost."""

import altair as alt
import pandas as pd

from expertnet.charts.base import BLUE, GRAY, GREEN, ORANGE, RED, layered, rows_axis, rows_height, scale_of, tooltips

STATES = {"finished": BLUE, "pruned": ORANGE, "cut off": ORANGE, "stopped": GRAY, "running": GREEN, "failed": RED}
HEIGHT = 260  # pixels
ROW = 34  # pixels of an importance


def _points(trials: pd.DataFrame, x: alt.X, *fields: str) -> alt.Chart:
    """Draw a point per trial that is colored by its state. A click on one tells its run."""
    states = set(trials["state"])
    present = [state for state in STATES if state in states]
    scale = alt.Scale(domain=present, range=[STATES[state] for state in present])
    color = alt.Color("state:N", title=None, scale=scale, legend=alt.Legend(orient="top", columns=6))
    return (
        alt.Chart(trials)
        .mark_circle(size=60, opacity=0.85)
        .encode(x=x, y=_accuracy(trials), color=color, tooltip=tooltips("trial:O", *fields, "state:N", accuracy=".2%"))
    )


def _accuracy(trials: pd.DataFrame, column: str = "accuracy") -> alt.Y:
    """Return the axis of the accuracy. All layers of a chart have the same."""
    axis = alt.Axis(format="~%")
    return alt.Y(f"{column}:Q", title="validation accuracy", scale=scale_of(trials["accuracy"]), axis=axis)


def over_time(trials: pd.DataFrame) -> alt.LayerChart:
    """Draw the accuracy of each trial and the best so far. `trials` has the columns trial, state, accuracy, best."""
    x = alt.X("trial:Q", title="trial", axis=alt.Axis(tickMinStep=1, format="d"))
    best = alt.Chart(trials).mark_line(interpolate="step-after", color=GRAY, strokeWidth=2)
    return layered(
        best.encode(x=x, y=_accuracy(trials, "best")),
        _points(trials, x),
        height=HEIGHT,
        description="Validation accuracy of each trial, and the best so far",
    )


def importance_bars(table: pd.DataFrame) -> alt.LayerChart:
    """Draw the share of each setting with its interval. `table` has the columns setting, share, low, high."""
    y = rows_axis("setting:N")
    x = alt.X("share:Q", title="share of the importance", axis=alt.Axis(format="~%"), scale=alt.Scale(domain=[0, 1]))
    rows = alt.Chart(table).encode(y=y, tooltip=tooltips("setting:N", share=".0%", low=".0%", high=".0%"))
    return layered(
        rows.mark_bar(color=BLUE, opacity=0.8, height=14).encode(x=x),
        rows.mark_rule(color=GRAY, strokeWidth=3).encode(x=alt.X("low:Q"), x2=alt.X2("high:Q")),
        height=rows_height(len(table), ROW),
        description="How much each setting matters, with intervals",
    )


def slice_plot(trials: pd.DataFrame, title: str, log: bool) -> alt.LayerChart:
    """Draw one setting against the accuracy. `trials` has the columns trial, state, accuracy, value."""
    if pd.api.types.is_numeric_dtype(trials["value"]) and not pd.api.types.is_bool_dtype(trials["value"]):
        scale = alt.Scale(type="log", nice=False) if log else scale_of(trials["value"])
        x = alt.X("value:Q", title=title, scale=scale)
    else:
        x = alt.X("value:N", title=title, axis=alt.Axis(labelAngle=0))
    return layered(
        _points(trials, x, "value:N"), height=HEIGHT, description=f"{title} of each trial against its accuracy"
    )


def pareto_plot(trials: pd.DataFrame, title: str) -> alt.LayerChart:
    """Draw accuracy against cost. `trials` has the columns trial, state, accuracy, cost, and front (bool)."""
    x = alt.X("cost:Q", title=title, scale=scale_of(trials["cost"]), axis=alt.Axis(format="~s"))
    front = alt.Chart(trials[trials["front"]]).mark_line(interpolate="step-after", color=GRAY, strokeWidth=2)
    return layered(
        front.encode(x=x, y=_accuracy(trials)),
        _points(trials, x, "cost:Q"),
        height=HEIGHT,
        description=f"{title} of each trial against its accuracy, with the Pareto front",
    )
