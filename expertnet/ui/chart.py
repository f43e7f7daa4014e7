"""Draw charts in frames that have their height from the start, so that nothing below moves when the browser draws them."""

from collections.abc import Iterator, Mapping
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from expertnet.charts.base import Spec

FIT = {"autosize": {"type": "fit", "contains": "padding"}}  # the plot takes what axes and legend leave of the height
AXIS, TITLE, LEGEND, LEGEND_ROW = 80, 40, 32, 20  # pixels, with the margins of Streamlit's theme


def show_chart(spec: Spec, key: str, place: DeltaGenerator | None = None, **options: Any) -> None:
    """Draw a Vega-Lite specification as wide as its place. `options` are those of st.vega_lite_chart."""
    target: Any = place or st
    target.vega_lite_chart(spec=spec | FIT, width="stretch", height=frame_height(spec), key=key, **options)


def frame_height(spec: Spec) -> int:
    """Return the height of a chart with its axis, title and legend, in pixels."""
    rows = max(_legend_rows(spec), default=0)
    return round(spec["height"] + AXIS + TITLE * bool(spec.get("title")) + (LEGEND + LEGEND_ROW * rows if rows else 0))


def _legend_rows(part: Any) -> Iterator[int]:
    """Yield the number of rows of every legend in a specification."""
    if isinstance(part, Mapping):
        legend = part.get("legend")
        if isinstance(legend, Mapping) and "columns" in legend:
            names = part.get("scale", {}).get("domain", [])
            yield -(-len(names) // legend["columns"])
        for key, inner in part.items():
            if key not in ("datasets", "config"):
                yield from _legend_rows(inner)
    elif isinstance(part, list):
        for inner in part:
            yield from _legend_rows(inner)
