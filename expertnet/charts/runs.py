"""Many runs in one image: tidy frames -> Altair charts, pure as in charts.py.

In this module: smoothed, thinned and overlay (curves over one another), differing and parallel (settings against accuracy),
and what_goes_with (the same in words).
"""

from __future__ import annotations

import json
import math
import textwrap
from collections.abc import Mapping
from statistics import NormalDist
from typing import Any

import altair as alt
import pandas as pd

from expertnet.charts.base import BLUE, GREEN, GREY, ORANGE, layered, told_apart

X_AXES = {"epoch": "epoch", "images": "images seen", "elapsed": "seconds of training"}
NAMED = 30  # curves that colours and dashes tell apart; beyond, the colour is the accuracy
MOST_POINTS = 20_000  # of all curves of a chart together, so that the browser stays quick
FEWEST_RUNS = 8  # under this, a rank correlation says nothing
FAR_APART = 20  # numbers whose largest is so many times the smallest stand on a logarithmic axis
LEGEND_PIXELS = {1: 420, 2: 220, 3: 140}  # of a name in the legend, by its columns
LOW_TO_HIGH = [BLUE, GREEN, ORANGE]  # legible on white and on black, as viridis is not
LEVEL = 0.35  # of the way between two axes
NEAR = 0.07  # of an axis's length: labels that are closer would overlap


# --- one look a run, in every chart of them ---------------------------------------------------------------------------


def _looks(runs: pd.Series, drawn: list[Any], title: str, **legend: Any) -> dict[str, Any]:
    """Encodings by which a run is known: the colour and the dash of its place among `runs`, or with many the colour of its accuracy.

    `runs` is the best accuracy of each by its label; a chart that leaves some out gives the others the same look.
    """
    if len(runs) <= NAMED:
        return told_apart("run:N", list(runs.index), values=drawn, **legend)
    known = runs.dropna()
    if known.empty:
        return {}
    scale = alt.Scale(domain=[float(known.min()), float(known.max())], range=LOW_TO_HIGH, interpolate="lab")
    shown = alt.Legend(format=".0%", orient="bottom", gradientLength=220)
    return {"color": alt.Color("best:Q", title=title, legend=shown, scale=scale)}


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
    curves: pd.DataFrame,
    runs: pd.Series,
    x: str,
    title: str,
    share: float = 0.0,
    log: bool = False,
    percent: bool = False,
) -> alt.LayerChart:
    """Runs' curves: columns run, best, value, epoch and that of `x`, a key of X_AXES; the legend picks out a run.

    `runs` says how they look (see _looks). With `share` they are smoothed, and what was measured lies faintly behind.
    """
    tidy = curves.dropna(subset=["value", x])
    tidy = tidy[tidy["value"] > 0] if log else tidy
    tidy = thinned(tidy.assign(smooth=smoothed(tidy, share))[["run", "best", "epoch", x, "value", "smooth"]].copy())
    tidy = tidy.loc[:, ~tidy.columns.duplicated()]
    names = list(dict.fromkeys(tidy["run"]))
    columns = 1 if len(names) <= 4 else 2 if len(names) <= 10 else 3
    picked = alt.selection_point(name="picked", fields=["run"], bind="legend")
    legend = {"orient": "bottom", "columns": columns, "labelLimit": LEGEND_PIXELS[columns]}
    looks = {"detail": "run:N"} | _looks(runs, names, "best accuracy", **legend)
    kept = alt.Scale(zero=False, nice=False, padding=6)
    axis = alt.Axis(grid=False, format="d" if x == "epoch" else "~s", tickMinStep=1)
    base = alt.Chart(tidy).encode(x=alt.X(f"{x}:Q", title=X_AXES[x], axis=axis, scale=kept), **looks)
    value = alt.Axis(format=".0%") if percent else alt.Axis()
    scale = alt.Scale(type="log" if log else "linear", zero=False, nice=False, padding=6)

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
    settings: pd.DataFrame, runs: pd.Series, names: Mapping[str, str], texts: Any, title: str
) -> alt.LayerChart:
    """Parallel coordinates (Inselberg 1985): a line a run through its settings to its accuracy.

    `settings` is a line a run and a column a setting; `runs` has the best accuracy of those, and of all others that look as
    they do in `overlay`; `names` gives a setting's label by its key, and `texts(value)` how a value is written. Before each
    axis the lines go level, so that values can be read above them.
    """
    accuracy = runs[settings.index]
    keys = list(map(str, settings.columns))
    heads = [names.get(key, key) for key in keys] + [title]
    lines: list[tuple[Any, ...]] = []
    labels: list[tuple[Any, ...]] = []
    for axis, values in enumerate([*(settings[key] for key in keys), accuracy]):
        write = texts if axis < len(keys) else lambda share: f"{share:.1%}"
        known = {repr(value): write(value) for value in values}
        places, shown = _places(values, known)
        labels += [(axis, place, text) for place, text in shown]
        for run, place, value, share in zip(settings.index, places, values, accuracy, strict=True):
            told = (place, heads[axis], known[repr(value)], share)
            lines += [(run, x, *told) for x in ([axis - LEVEL, axis] if axis else [axis])]
    table = pd.DataFrame(lines, columns=["run", "x", "place", "setting", "value", "best"])
    marks = pd.DataFrame(labels, columns=["x", "place", "text"])
    wrapped = [textwrap.wrap(head, 13) for head in heads]
    lines_most = max(map(len, wrapped))
    axis_heads = alt.Axis(
        values=list(range(len(heads))),
        labelExpr=f"{json.dumps([[''] * (lines_most - len(head)) + head for head in wrapped])}[datum.value]",
        labelLineHeight=14,
        labelOverlap=False,
        labelLimit=0,
        labelPadding=4 + 14 * lines_most,
        domain=False,
        ticks=False,
        grid=True,
        gridColor=GREY,
        gridOpacity=0.6,
        title=None,
        orient="top",
    )
    x = alt.X("x:Q", axis=axis_heads, scale=alt.Scale(domain=[-0.5, len(heads) - 0.5], nice=False))
    y = alt.Y("place:Q", axis=None, scale=alt.Scale(domain=[-0.04, 1.08], nice=False))
    looks = {channel: look.legend(None) for channel, look in _looks(runs, [], title).items()}
    tooltip: list[Any] = ["run:N", "setting:N", "value:N", alt.Tooltip("best:Q", title=title, format=".2%")]
    base = alt.Chart(table).encode(x=x, y=y, tooltip=tooltip, **looks)
    few = len(runs) <= NAMED
    layers: list[Any] = [
        base.mark_line(strokeWidth=1.6 if few else 1, opacity=0.8 if few else 0.4).encode(detail="run:N", order="x:Q"),
        base.transform_filter("datum.x == floor(datum.x)").mark_circle(size=28, opacity=0.9),
    ]
    ends: dict[str, Any] = {
        "datum.x == 0": ("right", "middle", -8, 0),
        f"datum.x == {len(keys)}": ("left", "middle", 8, 0),
    }
    between = " && ".join(f"!({end})" for end in ends)
    for where, (align, baseline, dx, dy) in (ends | {between: ("right", "bottom", -7, -2)}).items():
        text = alt.Chart(marks).transform_filter(where).encode(x=x, y=y, text="text:N")
        look: dict[str, Any] = {"align": align, "baseline": baseline, "dx": dx, "dy": dy, "fontSize": 12, "limit": 90}
        halo = alt.ExprRef("background")  # of the page: lines that cross a label are broken around it
        layers += [text.mark_text(stroke=halo, fill=halo, strokeWidth=5, strokeJoin="round", **look)]
        layers += [text.mark_text(color=GREY, **look)]
    described = f"Settings of {len(settings)} runs against their accuracy: {', '.join(heads[:-1])}"
    return layered(*layers, height=320, description=described)


def what_goes_with(settings: pd.DataFrame, accuracy: pd.Series, names: Mapping[str, str], texts: Any) -> str:
    """Which settings rise and fall with the accuracy, in two cautious sentences; empty for fewer than FEWEST_RUNS runs.

    Spearman's rank correlation of each number, and of each choice between two, told where chance alone would give as much in
    fewer than one of twenty such tables (Bonferroni over the settings).
    """
    if len(settings) < FEWEST_RUNS or accuracy.nunique() < 2:
        return ""
    found: list[tuple[float, str]] = []
    for key in map(str, settings.columns):
        values, name = settings[key], names.get(key, key)
        written = {repr(value): texts(value) for value in values}
        if _is_number(values):
            strength = _rank_correlation(values.astype(float), accuracy)
            found.append((strength, f"a {'higher' if strength > 0 else 'lower'} “{name}” ({_signed(strength)})"))
        elif len(written) == 2:
            strength = _rank_correlation(values.map(repr).eq(sorted(written)[1]).astype(float), accuracy)
            worse, better = sorted(written, reverse=strength < 0)
            found.append((strength, f"“{name}” {written[better]} rather than {written[worse]} ({abs(strength):.2f})"))
    limit = NormalDist().inv_cdf(1 - 0.025 / max(len(found), 1)) / math.sqrt(len(settings) - 1)
    clear = [words for strength, words in sorted(found, key=lambda item: -abs(item[0])) if abs(strength) > limit][:3]
    if not clear:
        return f"Among these {len(settings)} runs, no single setting clearly goes with better or worse accuracy."
    told = clear[0] if len(clear) == 1 else f"{', '.join(clear[:-1])} and {clear[-1]}"
    return (
        f"Among these {len(settings)} runs, better accuracy goes with {told}; in brackets the rank correlation. "
        "That is no proof: settings that were changed together cannot be told apart this way."
    )


def _rank_correlation(values: pd.Series, accuracy: pd.Series) -> float:
    """Spearman's; 0 where all values are alike."""
    return float(values.rank().corr(accuracy.rank())) if values.nunique() > 1 else 0.0


def _signed(strength: float) -> str:
    return f"{strength:+.2f}".replace("-", "−")
