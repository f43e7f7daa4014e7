"""Tidy frames -> Altair charts: pure, so that a notebook draws what the pages draw.

In this module: specification, routing_heatmap, entropy_bars, class_heatmap, probability_bars, architecture, and what curves.py
and lab_charts.py share (the colours, layered, told). Colours are Okabe and Ito's, which the colour-blind can tell apart (the
blue is lighter, to be as legible on black as on white); no series is told by its colour alone, but by dash, place or number too.
"""

from __future__ import annotations

import io
from hashlib import sha256
from typing import Any, Literal, cast

import altair as alt
import pandas as pd

BLUE, ORANGE, GREEN, PURPLE, RED, SKY = "#1F83C4", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9"
GREY = "#868E96"  # text and marks that must be legible on white and on black
INK, PALE = "#1C2326", "#D5DBDD"  # text on cells that bring a colour of their own, and a cell that means nothing
SHARE = "~%"  # ticks of an axis, with as many decimals as tell them apart
CELL, ROW = 34, 26  # pixels: a heat map's row, a bar's row
FIT_WIDTH = alt.AutoSizeParams(type="fit-x", contains="padding")  # heights are those of the rows, axes come on top


def layered(*layers: Any, **properties: Any) -> alt.LayerChart:
    """Charts over one another; Altair's own types say that this might be a facet, which it cannot."""
    return cast(alt.LayerChart, alt.layer(*layers, autosize=FIT_WIDTH, **properties))


def specification(chart: Any) -> dict[str, Any]:
    """A chart as st.vega_lite_chart takes it, to be drawn again and again; its tables are left for Streamlit to send.

    So Altair neither transforms them, by a setting that all threads share and st.altair_chart changes for a moment, nor validates.
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
    spec.pop("config", None)  # Altair's own theme, in the place of which Streamlit has one
    return spec | {"datasets": tables}


def told(*fields: str) -> list[alt.Tooltip]:
    """Fields of a tooltip. In all of these charts channels are typed, even those of one word: Altair takes 3 ms to type a text."""
    return [alt.Tooltip(field) for field in fields]


# --- routing ---------------------------------------------------------------------------------------------------------


# --- classes and the network -----------------------------------------------------------------------------------------


def rows_axis(field: str, title: str | None = None) -> alt.Y:
    axis = alt.Axis(domain=False, ticks=False, labelLimit=330, labelFlush=False)
    return alt.Y(field, title=title, sort=None, axis=axis)


def to_file(chart: alt.TopLevelMixin, format: Literal["png", "svg"], width: int = 720) -> bytes:
    """A chart as an image, drawn without a browser by vl-convert."""
    sized = cast(Any, chart).properties(width=width)
    if format == "svg":
        text = io.StringIO()
        sized.save(text, format="svg")
        return text.getvalue().encode()
    data = io.BytesIO()
    sized.save(data, format="png", scale_factor=2)
    return data.getvalue()


PALETTE = [BLUE, ORANGE, GREEN, PURPLE, RED, SKY]


DASHES = [[1, 0], [6, 3], [2, 2], [8, 3, 2, 3], [1, 3]]  # as many as no multiple of the colours, so that pairs differ


def told_apart(
    field: str,
    names: list[Any],
    colours: list[str] = PALETTE,
    dashes: list[list[int]] = DASHES,
    title: str | None = None,
    **legend: Any,
) -> dict[str, Any]:
    """Encodings that give every series a colour and a dash, with one legend for both."""
    options: dict[str, Any] = {"orient": "top", "columns": 12, "symbolType": "stroke", "symbolSize": 400} | legend
    shown = alt.Legend(**options)
    ranges: list[Any] = [[values[index % len(values)] for index in range(len(names))] for values in (colours, dashes)]
    scales = [alt.Scale(domain=names, range=values) for values in ranges]
    return {
        "color": alt.Color(field, title=title, legend=shown, scale=scales[0]),
        "strokeDash": alt.StrokeDash(field, title=title, legend=shown, scale=scales[1]),
    }
