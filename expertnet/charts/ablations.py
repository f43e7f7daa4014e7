"""The effect of switching experts off, as a chart."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

from expertnet.charts.base import GREY, colour_and_shape, dashed_line, layered, tooltips
from expertnet.charts.routing import expert_names


def weight_and_effect(effects: pd.DataFrame) -> alt.LayerChart:
    """Draw the change in accuracy without each expert, with its interval, against the expert's mean weight.

    Takes the table of `routing.ablations.ablation_table`.
    """
    table = effects.assign(name=expert_names(effects), text=_labels(effects))
    scale = alt.Scale(domain=[0, max(0.6, float(table["weight"].max()) * 1.12)], nice=False)
    x = alt.X("weight:Q", title="mean weight", scale=scale)
    y = alt.Y("change:Q", title="change in accuracy when switched off", axis=alt.Axis(format="+~%"))
    numbers = tooltips("name:N", weight=".3f", change="+.2%", low="+.2%", high="+.2%")
    tooltip = [*numbers, alt.Tooltip("flipped:Q", title="images with another class")]
    base = alt.Chart(table).encode(x=x, tooltip=tooltip)
    looks = colour_and_shape("block:O", sorted(table["block"].unique().tolist()), "block")
    return layered(
        dashed_line("y", 0.0, y=alt.Y("y:Q")),
        base.mark_rule().encode(y=alt.Y("low:Q"), y2=alt.Y2("high:Q"), color=looks["color"]),
        base.mark_point(filled=True, size=70, opacity=1).encode(y=y, **looks),
        base.mark_text(align="left", dx=7, dy=-9, color=GREY).encode(y=y, text=alt.Text("text:N")),
        height=320,
        description="Change in accuracy when each expert is switched off, against its mean weight",
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
