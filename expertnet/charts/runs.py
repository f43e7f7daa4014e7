"""Curves of many runs in one chart."""

import math
from typing import Any
from urllib.parse import quote

import altair as alt
import pandas as pd

from expertnet.charts.base import BLUE, DASHES, GREEN, ORANGE, PALETTE, color_and_dash, layered, scale_of
from expertnet.utils.text import counted

X_AXES = {"epoch": "epoch", "images": "images seen", "elapsed": "seconds of training"}
BEST = "Best accuracy"
NAMED = 30  # runs that colors and dashes tell apart; with more, color shows the accuracy
MOST_POINTS = 20_000  # per chart, so that the browser stays responsive
LEGEND_ROWS = 6  # runs from which the legend has two columns
LEGEND_PIXELS = {1: 240, 2: 100}  # width of a name in the legend, by number of columns; fits a phone
LOW_TO_HIGH = [BLUE, GREEN, ORANGE]  # legible on white and on black, unlike viridis


def run_looks(runs: pd.Series, drawn: list[Any], **legend: Any) -> dict[str, Any]:
    """Return encodings that give a run the same look in every chart, whichever runs a chart draws.

    `runs` maps labels to best accuracies. Up to NAMED runs differ in color and dash; with more, color shows the accuracy.
    `drawn` lists the runs in the legend.
    """
    if len(runs) <= NAMED:
        return color_and_dash("run:N", list(runs.index), values=drawn, **legend)
    known = runs.dropna()
    if known.empty:
        return {}
    scale = alt.Scale(domain=[float(known.min()), float(known.max())], range=LOW_TO_HIGH, interpolate="lab")
    shown = alt.Legend(format=".0%", orient="bottom", gradientLength=220)
    return {"color": alt.Color("best:Q", title=BEST, legend=shown, scale=scale)}


def line_sample(index: int) -> str:
    """Return an image, as a data URL, of the line of the run at a position in `run_looks`, which must hold at most NAMED."""
    color, dash = PALETTE[index % len(PALETTE)], ",".join(map(str, DASHES[index % len(DASHES)]))
    line = f'<line x1="1" y1="8" x2="23" y2="8" stroke="{color}" stroke-width="4" stroke-dasharray="{dash}"/>'
    return "data:image/svg+xml," + quote(f'<svg xmlns="http://www.w3.org/2000/svg" width="24" height="16">{line}</svg>')


def smoothed(curves: pd.DataFrame, share: float) -> pd.Series:
    """Return the column value as an exponential moving average per run (column run), where `share` is the decay.

    It is corrected for its start as in Adam (Kingma 2015, arXiv:1412.6980), so that a constant stays constant.
    """
    if not share:
        return curves["value"]
    by_run = curves.groupby("run", sort=False)["value"]
    return by_run.transform(lambda values: values.ewm(alpha=1 - share, adjust=True, ignore_na=True).mean())


def thinned(curves: pd.DataFrame, most: int = MOST_POINTS) -> pd.DataFrame:
    """Return about `most` points, with the same share of each run's and always its first and last."""
    if len(curves) <= most:
        return curves
    every = math.ceil(len(curves) / most)
    place = curves.groupby("run", sort=False).cumcount()
    last = ~curves.duplicated("run", keep="last")
    return curves[(place % every == 0) | last]


def overlay(
    curves: pd.DataFrame,
    runs: pd.Series,
    x: str,
    title: str,
    share: float = 0.0,
    log: bool = False,
    percent: bool = False,
) -> alt.LayerChart:
    """Draw curves over `x`, a key of X_AXES: columns run, best, value, epoch and `x`. A click in the legend highlights a run.

    `runs` is as in `run_looks`. `share` smooths the curves and leaves the measured values faintly behind them.
    """
    tidy = curves.dropna(subset=["value", x])
    tidy = tidy[tidy["value"] > 0] if log else tidy
    tidy = thinned(tidy.assign(smooth=smoothed(tidy, share))[["run", "best", "epoch", x, "value", "smooth"]].copy())
    tidy = tidy.loc[:, ~tidy.columns.duplicated()]
    names = list(dict.fromkeys(tidy["run"]))
    columns = 1 if len(names) <= LEGEND_ROWS else 2
    picked = alt.selection_point(name="picked", fields=["run"], bind="legend")
    legend = {"orient": "bottom", "columns": columns, "labelLimit": LEGEND_PIXELS[columns]}
    looks = {"detail": "run:N"} | run_looks(runs, names, **legend)
    x_scale = alt.Scale(zero=False, nice=False, padding=6)
    axis = alt.Axis(grid=False, format="d" if x == "epoch" else "~s", tickMinStep=1)
    base = alt.Chart(tidy).encode(x=alt.X(f"{x}:Q", title=X_AXES[x], axis=axis, scale=x_scale), **looks)
    value = alt.Axis(format=".0%") if percent else alt.Axis()
    scale = scale_of(tidy["value"], type="log" if log else "linear", nice=False, padding=6)

    def y(field: str) -> alt.Y:
        return alt.Y(f"{field}:Q", title=title, axis=value, scale=scale)

    number = ".2%" if percent else ".4f"
    tooltip: list[Any] = ["run:N", "epoch:Q", alt.Tooltip("value:Q", title="measured", format=number)]
    if x != "epoch":
        tooltip.append(alt.Tooltip(f"{x}:Q", title=X_AXES[x], format=",.0f"))
    if share:
        tooltip.append(alt.Tooltip("smooth:Q", title="smoothed", format=number))
    few = tidy.groupby("run").size().max() < 4 if len(tidy) else False
    points = alt.OverlayMarkDef(size=60 if few else 18) if few or len(tidy) <= 200 else False
    width = 2 if len(names) <= 10 else 1.4 if len(names) <= NAMED else 1
    lines = base.mark_line(point=points, strokeWidth=width, clip=True).encode(
        y=y("smooth"), opacity=alt.condition(picked, alt.value(0.95), alt.value(0.1)), tooltip=tooltip
    )
    layers = [lines.add_params(picked)]
    if share:
        faint = base.mark_line(strokeWidth=1, clip=True)
        layers.insert(0, faint.encode(y=y("value"), opacity=alt.condition(picked, alt.value(0.22), alt.value(0.03))))
    described = f"{title} of {counted(len(names), 'run')} over {X_AXES[x]}"
    return layered(*layers, height=220, description=described)
