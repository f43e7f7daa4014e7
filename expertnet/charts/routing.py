"""Charts of routing: information, entropies, utilization, projections. Blocks and experts are counted from 1."""

import math

import altair as alt
import pandas as pd

from expertnet.charts.base import (
    BLUE,
    FIT_WIDTH,
    GRAY,
    ORANGE,
    TEXT,
    color_and_shape,
    dashed_line,
    layered,
    rows_axis,
    rows_height,
    tooltips,
)
from expertnet.utils.text import amount, percent


def information_bars(blocks: pd.DataFrame, num_experts: int) -> alt.LayerChart:
    """Draw the information about the class in an expert drawn by each block's weights, with a tick at the limit of chance.

    Takes the columns block, information, chance, chance_high of `block_table`, in bits. The axis ends at log2 K.
    """
    titles = {"information": "information (bits)", "chance": "by chance, on average", "chance_high": "limit of chance"}
    ticks = blocks[["block", "chance_high"]].set_axis(["block", "tick"], axis=1)
    described = (
        "Information about the class in an expert drawn by the weights of each block, in bits, with the limit of chance"
    )
    return _bits_bars(blocks, ticks, math.log2(num_experts), "bits (tick: limit of chance)", titles, described)


def probe_bars(blocks: pd.DataFrame, random: pd.DataFrame, num_classes: int) -> alt.LayerChart:
    """Draw what a linear probe reads about the class from each block's weights, with a tick per random router.

    Takes the columns block, information, error, and block, tick, in bits. The axis ends at log2 C.
    """
    titles = {"information": "information (bits)", "error": "standard error"}
    described = (
        "Information about the class in the weights of each block, in bits, with that in the weights of random routers"
    )
    return _bits_bars(blocks, random, math.log2(num_classes), "bits (ticks: random routers)", titles, described)


def _bits_bars(
    blocks: pd.DataFrame, ticks: pd.DataFrame, most: float, title: str, titles: dict[str, str], description: str
) -> alt.LayerChart:
    """Draw a bar per block (columns block, information) on an axis from 0 to `most`, with ticks: columns block, tick.

    `titles` names the columns in the tooltip.
    """
    highest = ticks.groupby("block")["tick"].max().reindex(blocks["block"]).fillna(0).to_numpy()
    labels = [amount(value, "") for value in blocks["information"]]
    blocks = blocks.assign(end=blocks["information"].clip(lower=highest), label=labels)
    most = most or 1.0  # of one expert or class
    scale = alt.Scale(domain=[0, most * 1.15], nice=False)  # leaves room for the numbers
    axis = alt.Axis(orient="top", values=[most * part / 4 for part in range(5)], format=".2f")
    bits = (alt.Tooltip(f"{field}:Q", title=name, format=".4f") for field, name in titles.items())
    y = rows_axis("block:O", "block")
    base = alt.Chart(blocks).encode(y=y, tooltip=[*tooltips("block:O"), *bits])
    marks = alt.Chart(ticks).mark_tick(color=ORANGE, thickness=3, size=22)
    return layered(
        base.mark_bar(color=BLUE, height=14).encode(x=alt.X("information:Q", title=title, scale=scale, axis=axis)),
        marks.encode(x=alt.X("tick:Q", scale=scale), y=y),
        base.mark_text(align="left", dx=8, color=TEXT).encode(x=alt.X("end:Q", scale=scale), text=alt.Text("label:N")),
        height=rows_height(len(blocks)),
        description=description,
    )


def scatter(points: pd.DataFrame, explained: list[float], highlighted: str | None = None) -> alt.Chart:
    """Draw images by the first two principal components of their routing: columns image, class, taken for, x, y.

    `explained` holds the two components' shares of the variance. Both axes have the same scale and show at least -0.5 to 0.5,
    an even split in every block, so that routing that hardly differs looks like it. A click on a point is reported under the name "point".
    The `highlighted` class is drawn in color over the others in gray, because more than six hues are hard to tell apart.
    """
    if highlighted is None:
        looks = color_and_shape("class:N", sorted(points["class"].unique().tolist()), None)
    else:
        points = points.assign(own=points["class"] == highlighted).sort_values("own", kind="stable")
        looks = {
            name: channel("own:N", legend=None, scale=alt.Scale(domain=[False, True], range=values))
            for name, channel, values in (
                ("color", alt.Color, [GRAY, ORANGE]),
                ("opacity", alt.Opacity, [0.35, 1]),
                ("size", alt.Size, [24, 60]),
            )
        }
    axis = alt.Axis(values=[step / 4 for step in range(-4, 5)], format=".2~f")
    end = max(0.5, float(points[["x", "y"]].abs().to_numpy().max()))
    wide, tall = (_equal(side, end) for side in ("width", "height"))
    x = alt.X("x:Q", title=f"first component ({percent(explained[0], 0)} of the variance)", axis=axis, scale=wide)
    y = alt.Y("y:Q", title=f"second component ({percent(explained[1], 0)})", axis=axis, scale=tall)
    tooltip = [*tooltips("image:Q", "class:N"), alt.Tooltip("taken for:N", title="predicted")]
    shown = "colored by class" if highlighted is None else f"class {highlighted} highlighted"
    described = f"Routing of {len(points)} test images in two dimensions, {shown}"
    chart = alt.Chart(points, height=400, autosize=FIT_WIDTH, description=described).mark_point(
        filled=True, size=34, opacity=0.8
    )
    chart = chart.encode(x=x, y=y, **looks, tooltip=tooltip)
    return chart.add_params(alt.selection_point(name="point", fields=["image"]))


def _equal(side: str, end: float) -> alt.Scale:
    """Return a scale from -end to end along the shorter side of a chart, and as many pixels per unit along the other one."""
    most = f"{end} * {side} / min(width, height)"
    return alt.Scale(domainMin=alt.ExprRef(f"-{most}"), domainMax=alt.ExprRef(most), nice=False)


def entropy_pairs(blocks: pd.DataFrame, num_experts: int) -> alt.LayerChart:
    """Draw both entropies of each block (see `block_table`) as shares of ln K, joined by a line."""
    most = max(math.log(num_experts), 1e-9)
    names = {"entropy_of_mean": "entropy of the mean routing", "mean_entropy": "mean entropy of single images"}
    tidy = blocks.melt("block", list(names), "entropy", "nats").assign(share=lambda t: t["nats"] / most)
    tidy["entropy"] = tidy["entropy"].map(names)
    axis = alt.Axis(format=".0%", orient="top")
    x = alt.X("share:Q", title="share of the maximum, ln K", scale=alt.Scale(domain=[0, 1]), axis=axis)
    colors, shapes = (alt.Scale(domain=list(names.values()), range=r) for r in ([BLUE, ORANGE], ["circle", "diamond"]))
    legend = alt.Legend(orient="bottom", columns=1, labelLimit=0)
    base = alt.Chart(tidy).encode(x=x, y=rows_axis("block:O", "block"))
    dots = base.mark_point(filled=True, size=90, opacity=1).encode(
        color=alt.Color("entropy:N", title=None, scale=colors, legend=legend),
        shape=alt.Shape("entropy:N", title=None, scale=shapes),
        tooltip=tooltips("block:O", "entropy:N", nats=".4f", share=".1%"),
    )
    line = base.mark_line(color=GRAY).encode(detail=alt.Detail("block:O"))
    described = "Two entropies of each block's routing, as shares of their maximum"
    return layered(line, dots, height=rows_height(len(blocks)), description=described)


def expert_bars(experts: pd.DataFrame) -> alt.LayerChart:
    """Draw the utilization of every expert (see `expert_table`) against a fair share of 1.

    The axis goes from 0 to K, which is one expert alone. A tick shows how often the expert has the largest weight, on the same
    scale.
    """
    most = int(experts["expert"].max())
    table = experts.assign(name=expert_names(experts), first_utilization=experts["first"] * most)
    largest = alt.Tooltip("first:Q", title="largest weight in", format=".1%")
    tooltip = [*tooltips("block:O", "expert:O", utilization=".3f"), largest]
    base = alt.Chart(table).encode(y=rows_axis("name:N"), tooltip=tooltip)
    axis = alt.Axis(orient="top", tickMinStep=1)
    scale = alt.Scale(domain=[0, most], nice=False)
    x = alt.X(
        "utilization:Q", title=["utilization", "(line: fair share, tick: largest weight)"], scale=scale, axis=axis
    )
    return layered(
        base.mark_bar(color=BLUE, height=10).encode(x=x),
        base.mark_tick(color=ORANGE, thickness=3, size=14).encode(x=alt.X("first_utilization:Q")),
        dashed_line("x", 1.0, x=alt.X("x:Q")),
        height=len(table) * 18 + 40,
        description="Utilization of each expert, with a line at a fair share of 1",
    )


def entropy_bars(entropy: pd.DataFrame, num_experts: int) -> alt.LayerChart:
    """Draw one image's routing entropy in each block, in nats, against its maximum ln K: columns block, entropy."""
    most = math.log(num_experts)
    axis = alt.Axis(values=[0, most / 2, most], format=".2f", orient="top")
    scale = alt.Scale(domain=[0, max(most, 1e-9) * 1.25], nice=False)
    x = alt.X("entropy:Q", title="entropy (nats)", scale=scale, axis=axis)
    tooltip = tooltips("block:O", entropy=".4f")
    base = alt.Chart(entropy).encode(x=x, y=rows_axis("block:O", "block"), tooltip=tooltip)
    text = base.mark_text(align="left", dx=3, color=TEXT).encode(text=alt.Text("entropy:Q", format=".2f"))
    described = "Routing entropy of one image, one bar per block"
    bars = base.mark_bar(color=BLUE, height=14)
    return layered(bars, text, height=rows_height(len(entropy)), description=described)


def expert_names(table: pd.DataFrame) -> pd.Series:
    """Return a name per row, such as "block 2, expert 1": columns block, expert."""
    return "block " + table["block"].astype(str) + ", expert " + table["expert"].astype(str)
