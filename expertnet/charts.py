"""Tidy frames -> Altair charts: pure, so that a notebook draws what the pages draw.

In this module: specification, routing_heatmap, entropy_bars, class_heatmap, probability_bars, architecture, and what curves.py
and lab_charts.py share (the colours, layered, told). Colours are Okabe and Ito's, which the colour-blind can tell apart (the
blue is lighter, to be as legible on black as on white); no series is told by its colour alone, but by dash, place or number too.
"""

from __future__ import annotations

import math
from hashlib import sha256
from typing import Any, cast

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


def _heatmap(
    table: pd.DataFrame,
    row: str,
    title: str | None,
    weight: str,
    height: int,
    description: str,
    select: str | None = None,
) -> alt.LayerChart:
    base = alt.Chart(table).encode(
        x=alt.X("expert:O", title="expert", axis=alt.Axis(labelAngle=0, orient="top", domain=False, ticks=False)),
        y=alt.Y(
            f"{row}:O",
            title=title,
            sort=None,
            axis=alt.Axis(domain=False, ticks=False, labelLimit=160, labelFlush=False),
        ),
    )
    cells = base.mark_rect().encode(
        color=alt.Color("weight:Q", title=weight, legend=None, scale=alt.Scale(scheme="viridis", domain=[0, 1])),
        tooltip=[*told(f"{row}:O", "expert:O"), alt.Tooltip("weight:Q", title=weight, format=".4f")],
    )
    if select:
        cells = cells.add_params(alt.selection_point(name=select, fields=[row, "expert"]))
    numbers = base.mark_text(fontSize=12).encode(
        text=alt.Text("weight:Q", format=".2f"),
        color=alt.ColorValue("white", condition={"test": "datum.weight > 0.6", "value": "black"}),
    )
    return layered(cells, numbers, height=max(height, 3 * CELL), description=description)


def routing_heatmap(weights: pd.DataFrame) -> alt.LayerChart:
    """One picture's routing weights, blocks x experts with the numbers: columns block, expert, weight."""
    height = weights["block"].nunique() * CELL + 30
    return _heatmap(
        weights, "block", "block", "weight", height, "Routing weights of one picture, blocks by experts, as numbers"
    )


def class_heatmap(table: pd.DataFrame, block: int, select: str | None = None) -> alt.LayerChart:
    """Mean weights by class in one block, classes x experts: columns class, block, expert, weight.

    With `select`, a click on a cell is reported under that name.
    """
    chosen = table[table["block"] == block]
    height = chosen["class"].nunique() * ROW + 30
    described = f"Mean routing weights of each class in block {block}, as numbers"
    return _heatmap(chosen, "class", None, "mean weight", height, described, select)


def entropy_bars(entropy: pd.DataFrame, num_experts: int) -> alt.LayerChart:
    """One picture's routing entropy of each block (columns block, entropy) against its maximum ln K."""
    most = math.log(num_experts)
    x = alt.X(
        "entropy:Q",
        title="nats",
        scale=alt.Scale(domain=[0, max(most, 1e-9) * 1.25], nice=False),
        axis=alt.Axis(values=[0, most / 2, most], format=".2f", orient="top"),
    )
    y = alt.Y("block:O", title="block", axis=alt.Axis(domain=False, ticks=False))
    tooltip = [*told("block:O"), alt.Tooltip("entropy:Q", format=".4f")]
    bars = alt.Chart(entropy).mark_bar(color=BLUE, height=14).encode(x=x, y=y, tooltip=tooltip)
    text = alt.Chart(entropy).mark_text(align="left", dx=3, color=GREY)
    return layered(
        bars,
        text.encode(x=x, y=y, text=alt.Text("entropy:Q", format=".2f")),
        height=max(len(entropy) * CELL + 30, 3 * CELL),
        description="Routing entropy of one picture, a bar for each block",
    )


# --- classes and the network -----------------------------------------------------------------------------------------


def probability_bars(predictions: pd.DataFrame) -> alt.LayerChart:
    """Class probabilities, largest first: columns label, probability."""
    x = alt.X(
        "probability:Q",
        title=None,
        axis=alt.Axis(format=".0%", values=[0, 0.25, 0.5, 0.75, 1]),
        scale=alt.Scale(domain=[0, 1.18], nice=False),
    )
    y = alt.Y("label:N", title=None, sort=None, axis=alt.Axis(domain=False, ticks=False, labelLimit=160))
    tooltip = [*told("label:N"), alt.Tooltip("probability:Q", format=".2%")]
    bars = alt.Chart(predictions).mark_bar(color=BLUE, height=16).encode(x=x, y=y, tooltip=tooltip)
    text = alt.Chart(predictions).mark_text(align="left", dx=3, color=GREY)
    return layered(
        bars,
        text.encode(x=x, y=y, text=alt.Text("probability:Q", format=".1%")),
        height=len(predictions) * ROW + 24,
        description="Probabilities of the likeliest classes",
    )


def architecture(stages: pd.DataFrame) -> alt.LayerChart:
    """The network from picture (left) to classes (right): columns name, channels, size, experts.

    A column is as high as its feature maps, on a logarithmic scale; a block is split into its experts.
    """
    parts = []
    for place, stage in enumerate(stages.to_dict("records")):
        height, experts = math.log2(stage["size"]) + 1, max(stage["experts"], 1)
        for part in range(experts):
            parts.append(
                {
                    "place": place,
                    "name": str(stage["name"]).removeprefix("Block "),
                    "low": -height / 2 + height * part / experts,
                    "high": -height / 2 + height * (part + (0.88 if experts > 1 else 1)) / experts,
                    "top": height / 2,
                    "kind": f"one of {experts} experts" if stage["experts"] else "layer",
                    "maps": f"{stage['channels']} x {stage['size']} x {stage['size']}",
                    "size": f"{stage['size']}²" if stage["name"] != "Classes" else f"{stage['channels']}",
                }
            )
    table = pd.DataFrame(parts)
    names = table.drop_duplicates("place")["name"].tolist()
    x = alt.X(
        "name:N", sort=names, title=None, axis=alt.Axis(labelAngle=0, domain=False, ticks=False, labelOverlap=True)
    )
    y = alt.Y("low:Q", axis=None, scale=alt.Scale(nice=False, padding=14))
    kinds = list(dict.fromkeys(table["kind"]))
    columns = (
        alt.Chart(table)
        .mark_bar(cornerRadius=2)
        .encode(
            x=x,
            y=y,
            y2=alt.Y2("high:Q"),
            color=alt.Color(
                "kind:N", legend=None, scale=alt.Scale(domain=kinds, range=[BLUE if "of" in k else GREY for k in kinds])
            ),
            tooltip=[
                alt.Tooltip("name:N", title="stage"),
                alt.Tooltip("maps:N", title="channels, height, width"),
                *told("kind:N"),
            ],
        )
    )
    sizes = alt.Chart(table.drop_duplicates("place")).mark_text(dy=-8, color=GREY, fontSize=11)
    return layered(
        columns,
        sizes.encode(x=x, y=alt.Y("top:Q"), text=alt.Text("size:N")),
        height=190,
        description="The network: "
        + ", ".join(f"{s['name']} {s['channels']} x {s['size']} x {s['size']}" for s in stages.to_dict("records")),
    )
