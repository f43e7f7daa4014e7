"""The charts of the routing lab: tidy frames -> Altair, and charts -> files.

In this module: difference_heatmap, information_bars, scatter, interval_dots, entropy_pairs, expert_bars, weight_and_effect,
class_effect_heatmap, probability_pairs, block_curves, to_file. Blocks and experts are counted from 1.
"""

from __future__ import annotations

import math
from typing import Any

import altair as alt
import pandas as pd

from expertnet.charts.base import (
    BLUE,
    CELL,
    GREY,
    INK,
    ORANGE,
    PALE,
    PALETTE,
    ROW,
    SHARE,
    SKY,
    layered,
    rows_axis,
    told,
    told_apart,
)
from expertnet.utils.text import amount, percent

SHAPES = ["circle", "square", "triangle-up", "diamond", "cross", "triangle-down"]


def difference_heatmap(table: pd.DataFrame, row: str, value: str, title: str, shares: bool = False) -> alt.LayerChart:
    """Signed differences, `row` x expert: blue where there is less, orange where there is more, with the numbers."""
    most = max(float(table[value].abs().max()) if len(table) else 0.0, 1e-6)
    signed = alt.Scale(
        domain=[-most, 0, most], range=[SKY, PALE, ORANGE], interpolate="rgb"
    )  # ink is legible on all of them
    base = alt.Chart(table).encode(
        x=alt.X("expert:O", title="expert", axis=alt.Axis(labelAngle=0, orient="top", domain=False, ticks=False)),
        y=rows_axis(f"{row}:O", None if row == "class" else row),
    )
    written = "+.1%" if shares else "+.2f"
    nothing = {"test": f"datum['{value}'] === 0", "value": "0"}
    cells = base.mark_rect().encode(
        color=alt.Color(f"{value}:Q", legend=None, scale=signed),
        tooltip=[
            *told(f"{row}:O", "expert:O"),
            alt.Tooltip(f"{value}:Q", title=title, format="+.2%" if shares else "+.4f"),
        ],
    )
    numbers = base.mark_text(fontSize=12, color=INK).encode(
        text=alt.Text(f"{value}:Q", format=written, condition=nothing)
    )
    count = table[row].nunique()
    height = max(count * (ROW if row == "class" else CELL) + 30, 3 * CELL)
    return layered(cells, numbers, height=height, description=f"{title}, {row} by expert, as numbers")


def information_bars(blocks: pd.DataFrame) -> alt.LayerChart:
    """What routing tells about the class, a bar a block in bits, and a tick where chance would reach (block_table)."""
    blocks = blocks.assign(
        end=blocks[["information", "chance_high"]].max(axis=1),
        written=[amount(bits, "") for bits in blocks["information"]],
    )
    most = max(float(blocks["end"].max()), 0.001)  # less is nothing, and would be written with an exponent
    scale = alt.Scale(domain=[0, most * 1.3], nice=False)  # with room for the numbers
    axis = alt.Axis(orient="top", tickCount=4, format="~g")
    x = alt.X("information:Q", title="bits", scale=scale, axis=axis)
    tooltip: list[Any] = [
        *told("block:O"),
        *(alt.Tooltip(f"{field}:Q", format=".4f") for field in ("information", "chance", "chance_high")),
    ]
    base = alt.Chart(blocks).encode(y=rows_axis("block:O", "block"), tooltip=tooltip)
    return layered(
        base.mark_bar(color=BLUE, height=14).encode(x=x),
        base.mark_tick(color=ORANGE, thickness=3, size=22).encode(x=alt.X("chance_high:Q", scale=scale)),
        base.mark_text(align="left", dx=8, color=GREY).encode(
            x=alt.X("end:Q", scale=scale), text=alt.Text("written:N")
        ),
        height=max(len(blocks) * CELL + 30, 3 * CELL),
        description="Information about the class in the routing of each block, in bits, and what chance would reach",
    )


def _looks(field: str, names: list[Any], title: str | None) -> dict[str, Any]:
    """Encodings that give every name a colour and a shape of points."""
    colours = [PALETTE[i % len(PALETTE)] for i in range(len(names))]
    shapes = [SHAPES[i // len(PALETTE) % len(SHAPES)] for i in range(len(names))]
    return {
        "color": alt.Color(field, title=title, scale=alt.Scale(domain=names, range=colours)),
        "shape": alt.Shape(field, title=title, scale=alt.Scale(domain=names, range=shapes)),
    }


def scatter(points: pd.DataFrame, explained: list[float], select: str | None = None) -> alt.Chart:
    """Images by the first two components of their routing: columns image, class, taken for, x, y.

    With `select`, a click on a point is reported under that name.
    """
    looks = _looks("class:N", sorted(points["class"].unique().tolist()), None)
    axis = alt.Axis(labels=False, ticks=False, grid=False)
    chart = (
        alt.Chart(points)
        .mark_point(filled=True, size=34, opacity=0.8)
        .encode(
            x=alt.X("x:Q", title=f"first component ({percent(explained[0], 0)} of the variance)", axis=axis),
            y=alt.Y("y:Q", title=f"second component ({percent(explained[1], 0)})", axis=axis),
            **looks,
            tooltip=told("image:Q", "class:N", "taken for:N"),
        )
        .properties(height=380, description=f"Routing of {len(points)} test images in two dimensions, by class")
    )
    return chart.add_params(alt.selection_point(name=select, fields=["image"])) if select else chart


def interval_dots(
    table: pd.DataFrame, row: str, value: str, title: str, rule: float | None = None, whole: bool = False
) -> alt.LayerChart:
    """A dot a row, a share with its interval (columns low and high) and its number at the right.

    `rule` draws a line to compare with; `whole` shows all shares from 0 to 1, so that two charts compare.
    """
    ends = [*table["low"], *table["high"], *([rule] if rule is not None else []), *([0, 1] if whole else [])]
    air = max((max(ends) - min(ends)) * 0.08, 0.005)
    low, high = min(ends) - air, max(ends) + air
    scale = alt.Scale(domain=[low, high + (high - low) * 0.2], nice=False)  # the numbers stand where there are no marks
    axis = alt.Axis(
        format=SHARE, orient="top", tickCount=6, labelExpr="datum.value < 0 || datum.value > 1 ? '' : datum.label"
    )

    def x(field: str) -> alt.X:
        return alt.X(f"{field}:Q", title=title, scale=scale, axis=axis)

    tooltip: list[Any] = [
        *told(f"{row}:N"),
        *(alt.Tooltip(f"{field}:Q", format=".1%") for field in (value, "low", "high")),
    ]
    base = alt.Chart(table).encode(y=rows_axis(f"{row}:N", "block" if row == "block" else None), tooltip=tooltip)
    layers: list[Any] = []
    if rule is not None:
        line = alt.Chart(pd.DataFrame({"rule": [rule]})).mark_rule(color=GREY, strokeDash=[2, 3])
        layers.append(line.encode(x=x("rule")))
    layers += [
        base.mark_rule(color=BLUE, strokeWidth=2).encode(x=x("low"), x2=alt.X2("high:Q")),
        base.mark_point(color=BLUE, filled=True, size=70).encode(x=x(value)),
        base.mark_text(align="right", color=GREY).encode(
            x=alt.XValue("width"), text=alt.Text(f"{value}:Q", format=".1%")
        ),
    ]
    return layered(
        *layers, height=max(len(table) * CELL + 34, 3 * CELL), description=f"{title} by {row}, with intervals"
    )


def entropy_pairs(blocks: pd.DataFrame, num_experts: int) -> alt.LayerChart:
    """Both entropies of each block (block_table) as shares of ln K, joined by a line."""
    most = max(math.log(num_experts), 1e-9)
    names = {"entropy_of_mean": "of the mean routing", "mean_entropy": "mean of the images' own"}
    tidy = blocks.melt("block", list(names), "entropy", "nats").assign(share=lambda t: t["nats"] / most)
    tidy["entropy"] = tidy["entropy"].map(names)
    y = rows_axis("block:O", "block")
    x = alt.X(
        "share:Q", title="share of ln K", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format=".0%", orient="top")
    )
    domain = list(names.values())
    dots = (
        alt.Chart(tidy)
        .mark_point(filled=True, size=90, opacity=1)
        .encode(
            x=x,
            y=y,
            color=alt.Color(
                "entropy:N",
                title=None,
                scale=alt.Scale(domain=domain, range=[BLUE, ORANGE]),
                legend=alt.Legend(orient="bottom", columns=1, labelLimit=0),
            ),
            shape=alt.Shape("entropy:N", title=None, scale=alt.Scale(domain=domain, range=["circle", "diamond"])),
            tooltip=[
                *told("block:O", "entropy:N"),
                alt.Tooltip("nats:Q", format=".4f"),
                alt.Tooltip("share:Q", format=".1%"),
            ],
        )
    )
    line = alt.Chart(tidy).mark_line(color=GREY).encode(x=x, y=y, detail=alt.Detail("block:O"))
    return layered(
        line, dots, height=max(len(blocks) * CELL + 30, 3 * CELL), description="Both entropies of each block's routing"
    )


def expert_bars(experts: pd.DataFrame) -> alt.LayerChart:
    """Utilization of every expert of every block (expert_table), against a fair share of 1; a tick for how often it is first."""
    table = experts.assign(name=_named(experts), first_utilization=experts["first"] * experts["expert"].max())
    tooltip: list[Any] = [
        *told("block:O", "expert:O"),
        alt.Tooltip("utilization:Q", format=".3f"),
        alt.Tooltip("first:Q", format=".1%"),
    ]
    base = alt.Chart(table).encode(y=rows_axis("name:N"), tooltip=tooltip)
    x = alt.X(
        "utilization:Q",
        title="utilization (K x mean weight)",
        scale=alt.Scale(domainMin=0),
        axis=alt.Axis(orient="top"),
    )
    fair = alt.Chart(pd.DataFrame({"x": [1.0]})).mark_rule(color=GREY, strokeDash=[2, 3]).encode(x=alt.X("x:Q"))
    return layered(
        base.mark_bar(color=BLUE, height=10).encode(x=x),
        base.mark_tick(color=ORANGE, thickness=3, size=14).encode(x=alt.X("first_utilization:Q")),
        fair,
        height=len(table) * 18 + 40,
        description="Utilization of each expert, against a fair share of 1",
    )


def _named(table: pd.DataFrame) -> pd.Series:
    return "block " + table["block"].astype(str) + ", expert " + table["expert"].astype(str)


def weight_and_effect(silencing: pd.DataFrame) -> alt.LayerChart:
    """How much each expert weighs (x) and what silencing it does to the accuracy (y, with its interval): ablation_table."""
    table = silencing.assign(name=_named(silencing), text=_labels(silencing))
    x = alt.X(
        "weight:Q",
        title="mean weight",
        scale=alt.Scale(domain=[0, max(0.6, float(table["weight"].max()) * 1.12)], nice=False),
    )
    y = alt.Y("change:Q", title="change of the accuracy when silenced", axis=alt.Axis(format="+~%"))
    tooltip: list[Any] = [
        *told("name:N"),
        alt.Tooltip("weight:Q", format=".3f"),
        *(alt.Tooltip(f"{field}:Q", format="+.2%") for field in ("change", "low", "high")),
        *told("flipped:Q"),
    ]
    base = alt.Chart(table).encode(x=x, tooltip=tooltip)
    looks = _looks("block:O", sorted(table["block"].unique().tolist()), "block")
    zero = alt.Chart(pd.DataFrame({"y": [0.0]})).mark_rule(color=GREY, strokeDash=[2, 3]).encode(y=alt.Y("y:Q"))
    return layered(
        zero,
        base.mark_rule().encode(y=alt.Y("low:Q"), y2=alt.Y2("high:Q"), color=looks["color"]),
        base.mark_point(filled=True, size=70, opacity=1).encode(y=y, **looks),
        base.mark_text(align="left", dx=7, dy=-9, color=GREY).encode(y=y, text=alt.Text("text:N")),
        height=320,
        description="Mean weight of each expert against the change of the accuracy when it is silenced",
    )


def _labels(silencing: pd.DataFrame) -> list[str]:
    """Block and expert, such as 2.1, for the points beside which there is room for it; colour, table and tooltip tell the others."""
    table = silencing.reset_index(drop=True)
    width, height = table["weight"].max() * 0.09, (table["high"].max() - table["low"].min()) * 0.06

    def crowded(one: Any) -> bool:
        others = table.drop(index=one.Index)
        right, up = others["weight"] - one.weight, others["change"] - one.change
        near = (right.abs() < width) & (up.abs() < height)
        crossed = right.between(0, width) & (others["low"] < one.change + height) & (others["high"] > one.change)
        return bool((near | crossed).any())

    return ["" if crowded(one) else f"{one.block}.{one.expert}" for one in table.itertuples()]


def block_curves(table: pd.DataFrame, value: str, title: str, series: str, most: float | None = None) -> alt.LayerChart:
    """A quantity over epochs, a line for each of the `series` (blocks or experts): columns epoch, series, value."""
    names = sorted(table[series].unique().tolist())
    scale = alt.Scale(domain=[0, most * 1.05], nice=False) if most else alt.Scale(zero=True)
    lines = (
        alt.Chart(table)
        .mark_line(point=alt.OverlayMarkDef(size=18))
        .encode(
            x=alt.X(
                "epoch:Q", axis=alt.Axis(tickMinStep=1, format="d", grid=False), scale=alt.Scale(nice=False, padding=6)
            ),
            y=alt.Y(f"{value}:Q", title=title, scale=scale),
            **told_apart(f"{series}:O", names, title=series, columns=8),
            tooltip=[*told("epoch:Q", f"{series}:O"), alt.Tooltip(f"{value}:Q", format=".4f")],
        )
    )
    return layered(lines, height=220, description=f"{title} by {series} over epochs")


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
    """One image's routing weights, blocks x experts with the numbers: columns block, expert, weight."""
    height = weights["block"].nunique() * CELL + 30
    return _heatmap(
        weights, "block", "block", "weight", height, "Routing weights of one image, blocks by experts, as numbers"
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
    """One image's routing entropy of each block (columns block, entropy) against its maximum ln K."""
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
        description="Routing entropy of one image, a bar for each block",
    )
