"""The palette, axes, tooltips and file export that all charts share.

Charts are pure functions from tidy data frames to Altair charts, so a notebook draws what the pages draw. The palette is by
Okabe and Ito, for color-blind readers; the blue is lighter, to be as legible on black as on white.
"""

import io
from hashlib import sha256
from typing import Any, Literal, cast

import altair as alt
import pandas as pd

BLUE, ORANGE, GREEN, _, RED, SKY = PALETTE = ["#1F83C4", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9"]
DASHES = [[1, 0], [6, 3], [2, 2], [8, 3, 2, 3], [1, 3]]  # 5 dashes and 6 colors pair up differently 30 times
SHAPES = ["circle", "square", "triangle-up", "diamond", "cross", "triangle-down"]
GRAY = "#868E96"  # for lines and bars, on white and on black
TEXT = "currentColor"  # the page's text color: no gray has a contrast of 4.5:1 on white and on black
INK, PALE = "#1C2326", "#D5DBDD"  # text on colored cells, and a neutral cell
SHARE = "~%"  # axis ticks, with as many decimals as tell them apart
CELL, ROW = 34, 26  # pixels: heights of a heat map's row and of a bar's row
FIT_WIDTH = alt.AutoSizeParams(type="fit-x", contains="padding")  # heights exclude the axes

Spec = dict[str, Any]  # a chart in Vega-Lite


def layered(*layers: Any, **properties: Any) -> alt.LayerChart:
    """Layer charts over one another. Altair's types allow a facet here, which cannot occur."""
    return cast(alt.LayerChart, alt.layer(*layers, autosize=FIT_WIDTH, **properties))


def specification(chart: Any) -> Spec:
    """Return a chart as Vega-Lite with its data frames under `datasets`, as `st.vega_lite_chart` takes it.

    Unlike `st.altair_chart`, this neither validates the chart nor switches Altair's data transformer, which all threads share.
    """
    tables: dict[str, pd.DataFrame] = {}

    def named(part: Any) -> Any:
        part = part.copy(deep=False)
        if isinstance(part.data, pd.DataFrame):
            content = pd.util.hash_pandas_object(part.data).to_numpy().tobytes()
            name = f"{list(part.data)} {sha256(content).hexdigest()}"
            tables[name], part.data = part.data, alt.NamedData(name)
        if isinstance(part, alt.LayerChart):
            part.layer = [named(layer) for layer in part.layer]
        return part

    spec = named(chart).to_dict(validate=False)
    colors = {"labelColor": TEXT, "titleColor": TEXT}
    # Replaces Altair's theme, which would override Streamlit's.
    return spec | {"datasets": tables, "config": dict.fromkeys(("axis", "header", "legend"), colors)}


def tooltips(*fields: str, **formats: str) -> list[alt.Tooltip]:
    """Return tooltips of fields, and of quantities by name with the format of their numbers."""
    # As objects, since Altair takes 5 ms to turn each string into one.
    numbers = (alt.Tooltip(f"{quantity}:Q", format=form) for quantity, form in formats.items())
    return [*map(alt.Tooltip, fields), *numbers]


def dashed_line(field: str, value: float, **channels: Any) -> alt.Chart:
    """Return a dashed line across the chart at a value, which is the column `field` of its table."""
    return alt.Chart(pd.DataFrame({field: [value]})).mark_rule(color=GRAY, strokeDash=[2, 3]).encode(**channels)


def scale_of(values: pd.Series, **options: Any) -> alt.Scale:
    """Return a scale that need not include 0. A single value gets room, or its tick would show all its decimals."""
    low, high = values.min(), values.max()
    room = abs(low) / 20 or 0.5
    return alt.Scale(zero=False, **({"domain": [low - room, high + room]} if low == high else {}) | options)


def rows_axis(field: str, title: str | None = None) -> alt.Y:
    """Return a vertical axis with a row per value, in the order of the table."""
    axis = alt.Axis(domain=False, ticks=False, labelLimit=160, labelFlush=False)
    return alt.Y(field, title=title, sort=None, axis=axis)


def rows_height(count: int, row: int = CELL) -> int:
    """Return the height of a chart with so many rows, in pixels."""
    return max(count * row + 30, 3 * CELL)


def color_and_dash(
    field: str,
    names: list[Any],
    colors: list[str] = PALETTE,
    dashes: list[list[int]] = DASHES,
    title: str | None = None,
    **legend: Any,
) -> dict[str, Any]:
    """Return encodings that give every series a color and a dash, with one legend for both."""
    options: dict[str, Any] = {"orient": "top", "columns": 12, "symbolType": "stroke", "symbolSize": 400} | legend
    shown = alt.Legend(**options)
    ranges: list[Any] = [[values[index % len(values)] for index in range(len(names))] for values in (colors, dashes)]
    color, dash = (alt.Scale(domain=names, range=values) for values in ranges)
    return {
        "color": alt.Color(field, title=title, legend=shown, scale=color),
        "strokeDash": alt.StrokeDash(field, title=title, legend=shown, scale=dash),
    }


def color_and_shape(field: str, names: list[Any], title: str | None) -> dict[str, Any]:
    """Return encodings that give the points of every name a color and, once the colors are used up, another shape."""
    colors = [PALETTE[i % len(PALETTE)] for i in range(len(names))]
    shapes = [SHAPES[i // len(PALETTE) % len(SHAPES)] for i in range(len(names))]
    legend = alt.Legend(orient="bottom", columns=5, labelLimit=60)  # five fit a phone
    return {
        "color": alt.Color(field, title=title, legend=legend, scale=alt.Scale(domain=names, range=colors)),
        "shape": alt.Shape(field, title=title, legend=legend, scale=alt.Scale(domain=names, range=shapes)),
    }


def to_file(chart: alt.TopLevelMixin, format: Literal["png", "svg"], width: int = 720) -> bytes:
    """Render a chart without a browser. `width` is in pixels; a PNG has twice as many."""
    sized = cast(Any, chart).properties(width=width)
    if format == "svg":
        text = io.StringIO()
        sized.save(text, format="svg")
        return text.getvalue().encode()
    data = io.BytesIO()
    sized.save(data, format="png", scale_factor=2)
    return data.getvalue()
