"""The settings of many runs against their accuracy, as a chart and in words."""

import json
import math
import textwrap
from collections.abc import Callable, Mapping
from statistics import NormalDist
from typing import Any

import altair as alt
import pandas as pd

from expertnet.charts.base import GRAY, TEXT, layered
from expertnet.charts.runs import BEST, NAMED, run_looks
from expertnet.utils.text import listed

FEWEST_RUNS = 8  # below this, a rank correlation says nothing
FAR_APART = 20  # largest over smallest value from which an axis is logarithmic
LEVEL = 0.35  # of the distance between two axes, over which lines run level
NEAR = 0.07  # of an axis's length; closer labels would overlap


def differing(settings: pd.DataFrame) -> pd.DataFrame:
    """Return the columns (settings) in which the rows (runs) differ."""
    return settings[[name for name in settings.columns if len({repr(value) for value in settings[name]}) > 1]]


def _is_number(values: pd.Series) -> bool:
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def _places(values: pd.Series, texts: Mapping[str, str]) -> tuple[list[float], list[tuple[float, str]]]:
    """Return the position of each value on an axis from 0 to 1, and the labels of the axis as (position, text)."""
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
    shown = ordered[:1]  # the lowest, the highest, and those between that do not overlap
    for place, text in ordered[1:-1]:
        if place - shown[-1][0] >= NEAR and ordered[-1][0] - place >= NEAR:
            shown.append((place, text))
    return places, shown + ordered[1:][-1:]


def parallel(settings: pd.DataFrame, runs: pd.Series, text: Callable[[Any], str]) -> alt.LayerChart:
    """Draw parallel coordinates (Inselberg 1985, doi:10.1007/BF01898350): a line per run through its settings to its accuracy.

    `settings` has a row per run and a column per setting, and `text(value)` formats a value. `runs` is as in `run_looks` and
    may hold more runs. Lines run level before each axis, which leaves room for labels above them.
    """
    accuracy = runs[settings.index]
    heads = [*map(str, settings.columns), BEST]
    lines: list[tuple[Any, ...]] = []
    labels: list[tuple[Any, ...]] = []
    for axis, values in enumerate([*(settings[name] for name in settings), accuracy]):
        texts = {repr(value): f"{value:.1%}" if values is accuracy else text(value) for value in values}
        places, shown = _places(values, texts)
        labels += [(axis, *label) for label in shown]
        for run, place, value, share in zip(settings.index, places, values, accuracy, strict=True):
            point = (place, heads[axis], texts[repr(value)], share)
            lines += [(run, x, *point) for x in ([axis - LEVEL, axis] if axis else [axis])]
    table = pd.DataFrame(lines, columns=["run", "x", "place", "setting", "value", "best"])
    marks = pd.DataFrame(labels, columns=["x", "place", "text"])
    wrapped = [textwrap.wrap(head, 13) for head in heads]
    lines_most = max(map(len, wrapped))
    padded = json.dumps([[""] * (lines_most - len(head)) + head for head in wrapped])
    labels_above: dict[str, Any] = {"labelExpr": f"{padded}[datum.value]", "labelPadding": 4 + 14 * lines_most}
    labels_above |= {"labelLineHeight": 14, "labelOverlap": False, "labelLimit": 0, "title": None, "orient": "top"}
    grid: dict[str, Any] = {"grid": True, "gridColor": GRAY, "gridOpacity": 0.6, "domain": False, "ticks": False}
    axis_heads = alt.Axis(values=list(range(len(heads))), **labels_above, **grid)
    x = alt.X("x:Q", axis=axis_heads, scale=alt.Scale(domain=[-0.5, len(heads) - 0.5], nice=False))
    y = alt.Y("place:Q", axis=None, scale=alt.Scale(domain=[-0.04, 1.08], nice=False))
    looks = {channel: look.legend(None) for channel, look in run_looks(runs, []).items()}
    tooltip: list[Any] = ["run:N", "setting:N", "value:N", alt.Tooltip("best:Q", title=BEST, format=".2%")]
    base = alt.Chart(table).encode(x=x, y=y, tooltip=tooltip, **looks)
    few = len(runs) <= NAMED
    layers: list[Any] = [
        base.mark_line(strokeWidth=1.6 if few else 1, opacity=0.8 if few else 0.4).encode(detail="run:N", order="x:Q"),
        base.transform_filter("datum.x == floor(datum.x)").mark_circle(size=28, opacity=0.9),
    ]
    ends: dict[str, Any] = {
        "datum.x == 0": ("right", "middle", -8, 0),
        f"datum.x == {len(heads) - 1}": ("left", "middle", 8, 0),
    }
    between = " && ".join(f"!({end})" for end in ends)
    for where, (align, baseline, dx, dy) in (ends | {between: ("right", "bottom", -7, -2)}).items():
        label = alt.Chart(marks).transform_filter(where).encode(x=x, y=y, text="text:N")
        look: dict[str, Any] = {"align": align, "baseline": baseline, "dx": dx, "dy": dy, "fontSize": 12, "limit": 90}
        halo = alt.ExprRef("background")  # the page's color, which interrupts lines around a label
        layers += [label.mark_text(stroke=halo, fill=halo, strokeWidth=5, strokeJoin="round", **look)]
        layers += [label.mark_text(color=TEXT, **look)]
    described = f"Settings of {len(settings)} runs against their accuracy: {', '.join(heads[:-1])}"
    return layered(*layers, height=320, description=described)


def describe_correlations(settings: pd.DataFrame, accuracy: pd.Series, text: Callable[[Any], str]) -> str:
    """Say which settings go with the accuracy, or "" for fewer than FEWEST_RUNS runs.

    Uses Spearman's rank correlation of every number and of every choice between two values. At most three settings are named,
    and only at a level of 5%, with a Bonferroni correction for the number of settings.
    """
    if len(settings) < FEWEST_RUNS or accuracy.nunique() < 2:
        return ""
    found: list[tuple[float, str]] = []
    for name, values in settings.items():
        texts = {repr(value): text(value) for value in values}
        if _is_number(values):
            strength = _rank_correlation(values.astype(float), accuracy)
            signed = f"{strength:+.2f}".replace("-", "−")
            found.append((strength, f"a {'higher' if strength > 0 else 'lower'} “{name}” ({signed})"))
        elif len(texts) == 2:
            strength = _rank_correlation(values.map(repr).eq(sorted(texts)[1]).astype(float), accuracy)
            worse, better = sorted(texts, reverse=strength < 0)
            found.append((strength, f"“{name}” {texts[better]} rather than {texts[worse]} ({abs(strength):.2f})"))
    limit = NormalDist().inv_cdf(1 - 0.025 / max(len(found), 1)) / math.sqrt(len(settings) - 1)
    clear = [words for strength, words in sorted(found, key=lambda item: -abs(item[0])) if abs(strength) > limit][:3]
    if not clear:
        return f"Among these {len(settings)} runs, no single setting clearly goes with better or worse accuracy."
    return (
        f"Among these {len(settings)} runs, better accuracy goes with {listed(clear)}. Rank correlations are in brackets. "
        "This is no proof: settings that were changed together cannot be told apart this way."
    )


def _rank_correlation(values: pd.Series, accuracy: pd.Series) -> float:
    """Return Spearman's rank correlation, or 0 if all values are the same."""
    return float(values.rank().corr(accuracy.rank())) if values.nunique() > 1 else 0.0
