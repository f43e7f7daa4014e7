"""Charts of what changes of the routing do to the accuracy. Blocks and experts are counted from 1."""

from typing import Any

import altair as alt
import pandas as pd

from expertnet.charts.base import BLUE, ORANGE, TEXT, color_and_shape, dashed_line, layered, rows_height, tooltips
from expertnet.charts.routing import expert_names
from expertnet.utils.text import signed

HOLLOW = "hollow: as shipped"


def change_dots(table: pd.DataFrame, description: str) -> alt.LayerChart:
    """Draw the change in accuracy of each row with its interval, and the change as shipped as a hollow diamond.

    The columns are routing (the name of the row), accuracy, change, low, high, as_shipped.
    """
    numbers = zip(table["routing"], table["change"], table["as_shipped"], strict=True)
    texts = [f"{name}: {signed(change)} ({signed(shipped)} as shipped)" for name, change, shipped in numbers]
    ends = [0.0, *table["low"], *table["high"], *table["as_shipped"]]
    air = max((max(ends) - min(ends)) * 0.08, 0.005)
    domain, title = (min(ends) - air, max(ends) + air), f"change in accuracy ({HOLLOW})"
    tooltip = tooltips("routing:N", **dict.fromkeys(("accuracy", "change", "low", "high", "as_shipped"), ".2%"))
    return interval_dots(
        table.assign(text=texts), "change", title, domain, description, tooltip, "+~%", line=0.0, hollow="as_shipped"
    )


def interval_dots(
    table: pd.DataFrame,
    value: str,
    title: str,
    domain: tuple[float, float],
    description: str,
    tooltip: list[alt.Tooltip],
    format: str = "~%",
    line: float | None = None,
    hollow: str | None = None,
) -> alt.LayerChart:
    """Draw a row with a dot at `value` and its interval from low to high, and a hollow diamond at the column `hollow`.

    `text`, with the name and the numbers of a row, is above its interval, which leaves the whole width to the intervals.
    """
    scale = alt.Scale(domain=list(domain), nice=False)
    axis = alt.Axis(format=format, orient="top", tickCount=6)

    def x(field: str) -> alt.X:
        return alt.X(f"{field}:Q", title=title, scale=scale, axis=axis)

    table = table.reset_index(drop=True).assign(row=range(len(table)))
    base = alt.Chart(table).encode(y=alt.Y("row:O", sort=None, axis=None), tooltip=tooltip)
    diamonds = base.mark_point(color=ORANGE, filled=False, shape="diamond", size=70, opacity=1)
    return layered(
        *([] if line is None else [dashed_line("rule", line, x=x("rule"))]),
        base.mark_rule(color=BLUE, strokeWidth=2).encode(x=x("low"), x2=alt.X2("high:Q")),
        *([] if hollow is None else [diamonds.encode(x=x(hollow))]),
        base.mark_point(color=BLUE, filled=True, size=70, opacity=1).encode(x=x(value)),
        base.mark_text(align="left", dy=-15, color=TEXT).encode(x=alt.value(0), text=alt.Text("text:N")),
        height=rows_height(len(table), 40),
        description=description,
    )


def weight_and_effect(effects: pd.DataFrame, what: str) -> alt.LayerChart:
    """Draw the change in accuracy without each expert, with its interval, against the expert's mean weight.

    Takes the table of `routing.ablations.ablation_table`, and in words `what` happens to the expert. Hollow points are the
    changes as shipped, if the table has them.
    """
    shown = [column for column in ("change", "low", "high", "as_shipped") if column in effects]
    table = effects.assign(name=expert_names(effects), text=_labels(effects))
    scale = alt.Scale(domain=[0, max(0.6, float(table["weight"].max()) * 1.12)], nice=False)
    x = alt.X("weight:Q", title="mean weight", scale=scale)
    lines = [f"change in accuracy if {what}", *([f"({HOLLOW})"] if "as_shipped" in shown else [])]
    y = alt.Y("change:Q", title=lines, axis=alt.Axis(format="+~%"))
    numbers = tooltips("name:N", weight=".3f", **dict.fromkeys(shown, "+.2%"))
    tooltip = [*numbers, alt.Tooltip("flipped:Q", title="images with another class")]
    base = alt.Chart(table).encode(x=x, tooltip=tooltip)
    looks = color_and_shape("block:O", sorted(table["block"].unique().tolist()), "block")
    hollow = base.mark_point(filled=False, size=40, opacity=1)
    return layered(
        dashed_line("y", 0.0, y=alt.Y("y:Q")),
        base.mark_rule().encode(y=alt.Y("low:Q"), y2=alt.Y2("high:Q"), color=looks["color"]),
        *[hollow.encode(y=alt.Y("as_shipped:Q"), **looks) for column in shown if column == "as_shipped"],
        base.mark_point(filled=True, size=70, opacity=1).encode(y=y, **looks),
        base.mark_text(align="left", dx=7, dy=-9, color=TEXT).encode(y=y, text=alt.Text("text:N")),
        height=320,
        description=f"Change in accuracy if each expert is {what}, against its mean weight",
    )


def _labels(effects: pd.DataFrame) -> list[str]:
    """Return a label per point, such as 2.1 for expert 1 of block 2, and "" where it would overlap other marks."""
    table = effects.reset_index(drop=True)
    width, height = table["weight"].max() * 0.09, (table["high"].max() - table["low"].min()) * 0.06

    def crowded(one: Any) -> bool:
        others = table.drop(index=one.Index)
        right, up = others["weight"] - one.weight, others["change"] - one.change
        near = (right.abs() < width) & (up.abs() < height)
        crossed = right.between(0, width) & (others["low"] < one.change + height) & (others["high"] > one.change)
        return bool((near | crossed).any())

    return ["" if crowded(one) else f"{one.block}.{one.expert}" for one in table.itertuples()]
