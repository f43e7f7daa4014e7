"""Many runs in one picture: tidy frames -> Altair charts, pure as in charts.py.

In this module: smoothed, thinned and overlay (curves over one another), differing and parallel (settings against accuracy),
and what_goes_with (the same in one sentence).
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping
from statistics import NormalDist
from typing import Any

import altair as alt
import pandas as pd

from expertnet.charts import BLUE, FIT_WIDTH, GREEN, GREY, ORANGE, layered
from expertnet.curves import told_apart

X_AXES = {"epoch": "epoch", "pictures": "pictures seen", "elapsed": "seconds of training"}
NAMED = 30  # curves that colours and dashes tell apart; beyond, the colour is the accuracy
MOST_POINTS = 20_000  # of all curves of a chart together, so that the browser stays quick
FEWEST_RUNS = 8  # under this, a rank correlation says nothing
FAR_APART = 20  # numbers whose largest is so many times the smallest stand on a logarithmic axis
LOW_TO_HIGH = alt.Scale(range=[BLUE, GREEN, ORANGE], interpolate="lab")  # both are legible on white and on black, which no end of viridis is
NEAR = 0.07  # of an axis's length: labels that are closer would overlap


# --- curves over one another -----------------------------------------------------------------------------------------


def smoothed(curves: pd.DataFrame, share: float) -> pd.Series:
    """The column value of each run (column run), as a running mean that keeps this share of itself at each epoch.

    Corrected for its start, so that a constant stays what it is (as in Adam, Kingma 2015).
    """
    if not share:
        return curves["value"]
    by_run = curves.groupby("run", sort=False)["value"]
    return by_run.transform(lambda values: values.ewm(alpha=1 - share, adjust=True, ignore_na=True).mean())


def thinned(curves: pd.DataFrame, most: int = MOST_POINTS) -> pd.DataFrame:
    """At most about so many points, from each run the same share of them, its first and last always."""
    if len(curves) <= most:
        return curves
    every = math.ceil(len(curves) / most)
    place = curves.groupby("run", sort=False).cumcount()
    last = ~curves.duplicated("run", keep="last")
    return curves[(place % every == 0) | last]


def overlay(
    curves: pd.DataFrame, x: str, title: str, share: float = 0.0, log: bool = False, percent: bool = False
) -> alt.LayerChart:
    """Runs' curves: columns run, best, value, epoch and that of `x`, a key of X_AXES; the legend picks out a run.

    With `share` they are smoothed, and what was measured lies faintly behind.
    """
    tidy = curves.dropna(subset=["value", x])
    tidy = tidy[tidy["value"] > 0] if log else tidy
    tidy = thinned(tidy.assign(smooth=smoothed(tidy, share))[["run", "best", "epoch", x, "value", "smooth"]].copy())
    tidy = tidy.loc[:, ~tidy.columns.duplicated()]
    names = list(dict.fromkeys(tidy["run"]))
    columns = 1 if len(names) <= 4 else 2 if len(names) <= 10 else 3
    picked = alt.selection_point(name="picked", fields=["run"], bind="legend")
    looks: dict[str, Any] = {"detail": "run:N"}
    if len(names) <= NAMED:
        looks = told_apart("run:N", names, orient="bottom", columns=columns, labelLimit=[0, 420, 250, 150][columns])
    elif tidy["best"].notna().any():
        shown = alt.Legend(format=".0%", orient="bottom", gradientLength=220)
        looks["color"] = alt.Color("best:Q", title="best accuracy", legend=shown, scale=LOW_TO_HIGH)
    kept = alt.Scale(zero=False, nice=False, padding=6)
    axis = alt.Axis(grid=False, format="d" if x == "epoch" else "~s", tickMinStep=1)
    base = alt.Chart(tidy).encode(x=alt.X(f"{x}:Q", title=X_AXES[x], axis=axis, scale=kept), **looks)
    value = alt.Axis(format=".0%") if percent else alt.Axis()
    scale = alt.Scale(type="log", nice=False, padding=6) if log else alt.Scale(zero=False)

    def y(field: str) -> alt.Y:
        return alt.Y(f"{field}:Q", title=title, axis=value, scale=scale)

    figures = ".2%" if percent else ".4f"
    tooltip: list[Any] = ["run:N", "epoch:Q", alt.Tooltip("value:Q", title="measured", format=figures)]
    if x != "epoch":
        tooltip.append(alt.Tooltip(f"{x}:Q", title=X_AXES[x], format=",.0f"))
    if share:
        tooltip.append(alt.Tooltip("smooth:Q", title="smoothed", format=figures))
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
    described = f"{title} of {len(names)} {'run' if len(names) == 1 else 'runs'} over {X_AXES[x]}"
    return layered(*layers, height=280, description=described)


# --- settings against accuracy ---------------------------------------------------------------------------------------


def differing(settings: pd.DataFrame) -> pd.DataFrame:
    """The columns (a setting each) in which the lines (a run each) are not all alike."""
    return settings[[name for name in settings.columns if len({repr(value) for value in settings[name]}) > 1]]


def _is_number(values: pd.Series) -> bool:
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def _places(values: pd.Series, texts: Mapping[Any, str]) -> tuple[list[float], list[tuple[float, str]]]:
    """Where each value stands on an axis from 0 to 1, and the labels of the axis: place, text."""
    if _is_number(values):
        numbers = [float(value) for value in values]
        low, high = min(numbers), max(numbers)
        scale = math.log if low > 0 and high / low >= FAR_APART else float
        span = scale(high) - scale(low) or 1.0
        places = [(scale(number) - scale(low)) / span for number in numbers]
        ordered = sorted({(place, texts[repr(value)]) for place, value in zip(places, values, strict=True)})
    else:
        kinds = sorted({repr(value) for value in values}, key=lambda kind: texts[kind])
        place_of = {kind: index / max(len(kinds) - 1, 1) for index, kind in enumerate(kinds)}
        places = [place_of[repr(value)] for value in values]
        ordered = [(place_of[kind], texts[kind]) for kind in kinds]
    shown = ordered[:1]  # from below, those that do not touch; the highest always
    for place, text in ordered[1:-1]:
        if place - shown[-1][0] >= NEAR and ordered[-1][0] - place >= NEAR:
            shown.append((place, text))
    return places, shown + ordered[1:][-1:]


def parallel(
    settings: pd.DataFrame, accuracy: pd.Series, names: Mapping[str, str], texts: Any, title: str, width: int = 13
) -> alt.LayerChart:
    """Parallel coordinates (Inselberg 1985): a line a run through its settings to its accuracy.

    `settings` is a line a run and a column a setting, `accuracy` has the same lines; `names` gives a setting's label by its
    key, and `texts(value)` how a value is written.
    """
    last = textwrap.fill(title, width)
    order = [*(textwrap.fill(names.get(key, key), width) for key in map(str, settings.columns)), last]
    rows: list[dict[str, Any]] = []
    labels: list[dict[str, Any]] = []
    columns = [(name, settings[key], texts) for name, key in zip(order[:-1], settings.columns, strict=True)]
    for name, values, write in [*columns, (last, accuracy, lambda share: f"{share:.1%}")]:
        known = {repr(value): write(value) for value in values}
        places, shown = _places(values, known)
        labels += [{"axis": name, "place": place, "text": text} for place, text in shown]
        rows += [
            {"run": run, "axis": name, "place": place, "text": known[repr(value)], "accuracy": share}
            for run, place, value, share in zip(settings.index, places, values, accuracy, strict=True)
        ]
    table, marks = pd.DataFrame(rows), pd.DataFrame(labels)
    axis = alt.Axis(
        labelAngle=0,
        domain=False,
        ticks=False,
        grid=True,
        gridColor=GREY,
        gridOpacity=0.6,
        labelExpr="split(datum.label, '\\n')",
        labelLineHeight=14,
        labelOverlap=False,
        labelLimit=0,
        title=None,
        orient="top",
    )
    x = alt.X("axis:N", sort=order, axis=axis, scale=alt.Scale(type="point", padding=0.5))
    y = alt.Y("place:Q", axis=None, scale=alt.Scale(domain=[-0.06, 1.06], nice=False))
    spread = accuracy.max() > accuracy.min()
    colour = alt.Color("accuracy:Q", legend=None, scale=LOW_TO_HIGH) if spread else alt.value(BLUE)
    lines = (
        alt.Chart(table)
        .mark_line(strokeWidth=1.6, opacity=0.75 if len(settings) <= 60 else 0.35)
        .encode(
            x=x,
            y=y,
            detail="run:N",
            color=colour,
            tooltip=["run:N", alt.Tooltip("accuracy:Q", title=title, format=".2%")],
        )
    )
    dots = alt.Chart(table if len(settings) <= 100 else marks.assign(run="", accuracy=None))
    tips: list[Any] = ["run:N", alt.Tooltip("axis:N", title="setting"), alt.Tooltip("text:N", title="value")]
    dots_drawn = dots.mark_circle(size=28, opacity=0.9).encode(x=x, y=y, color=colour, tooltip=tips)
    text = alt.Chart(marks).mark_text(align="right", dx=-7, color=GREY, fontSize=11, limit=90)
    layers = [lines, *([dots_drawn] if len(settings) <= 100 else []), text.encode(x=x, y=y, text="text:N")]
    described = f"Settings of {len(settings)} runs against their accuracy: {', '.join(names.get(k, k) for k in map(str, settings.columns))}"
    chart = alt.layer(*layers).properties(autosize=FIT_WIDTH, height=300, description=described)
    return chart.configure_axis(labelPadding=8)


def what_goes_with(settings: pd.DataFrame, accuracy: pd.Series, names: Mapping[str, str], texts: Any) -> str:
    """Which settings rise and fall with the accuracy, in one cautious sentence; empty for fewer than FEWEST_RUNS runs.

    Spearman's rank correlation of each number, and of each choice between two, told where chance alone would give as much in
    fewer than one of twenty such tables (Bonferroni over the settings).
    """
    if len(settings) < FEWEST_RUNS or accuracy.nunique() < 2:
        return ""
    found: dict[str, tuple[float, str]] = {}
    tried = 0
    for key in map(str, settings.columns):
        values = settings[key]
        kinds = sorted({repr(value) for value in values})
        if _is_number(values):
            coded, words = values.astype(float), f"a higher {_lower(names.get(key, key))}"
        elif len(kinds) == 2:
            coded = pd.Series([float(repr(value) == kinds[1]) for value in values], index=values.index)
            written = {repr(value): texts(value) for value in values}
            words = f"{_lower(names.get(key, key))} “{written[kinds[1]]}” rather than “{written[kinds[0]]}”"
        else:
            continue
        tried += 1
        strength = float(coded.rank().corr(accuracy.rank())) if coded.nunique() > 1 else math.nan
        if math.isfinite(strength):
            found[key] = (strength, words)
    limit = NormalDist().inv_cdf(1 - 0.025 / max(tried, 1)) / math.sqrt(len(settings) - 1)
    clear = sorted((item for item in found.values() if abs(item[0]) > limit), key=lambda item: -abs(item[0]))[:3]
    if not clear:
        return f"Among these {len(settings)} runs, no single setting clearly goes with better or worse accuracy."
    parts = [
        f"{words} goes with {'better' if strength > 0 else 'worse'} accuracy ({strength:+.2f})"
        for strength, words in clear
    ]
    together = parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
    return (
        f"Among these {len(settings)} runs, {together}, by rank correlation from −1 to +1. That is no proof: settings that "
        "were changed together cannot be told apart this way."
    )


def _lower(label: str) -> str:
    """A label within a sentence; names such as AdamW keep their capitals."""
    return label[0].lower() + label[1:] if label[1:2].islower() else label
