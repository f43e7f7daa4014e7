"""The network as a diagram."""

import math

import altair as alt
import pandas as pd

from expertnet.charts.base import BLUE, GRAY, TEXT, layered, tooltips


def architecture(stages: pd.DataFrame) -> alt.LayerChart:
    """Draw the network from image (left) to classes (right): columns name, channels, size (pixels), experts.

    A column's height is the logarithm of its feature maps' size. Blocks are split into their experts.
    """
    channels, size = stages["channels"].astype(str), stages["size"].astype(str)
    table = stages.assign(
        stage=stages["name"].str.removeprefix("Block "),
        maps=channels + " x " + size + " x " + size,
        text=(size + "²").where(stages["name"] != "Classes", channels),
        kind=[f"one of {experts} experts" if experts else "layer" for experts in stages["experts"]],
        top=(stages["size"].map(math.log2) + 1) / 2,
        parts=stages["experts"].clip(lower=1),
    )
    parts = table.loc[table.index.repeat(table["parts"])]
    height = 2 * parts["top"] / parts["parts"]
    low = parts.groupby(level=0).cumcount() * height - parts["top"]
    parts = parts.assign(low=low, high=low + height * parts["parts"].map(lambda count: 0.88 if count > 1 else 1))
    axis = alt.Axis(labelAngle=0, domain=False, ticks=False, labelOverlap=True)
    x = alt.X("stage:N", sort=table["stage"].tolist(), title=None, axis=axis)
    y = alt.Y("low:Q", axis=None, scale=alt.Scale(nice=False, padding=14))
    color = alt.condition("datum.experts > 0", alt.value(BLUE), alt.value(GRAY))
    tooltip = [*tooltips("stage:N", "kind:N"), alt.Tooltip("maps:N", title="channels, height, width")]
    bars = alt.Chart(parts).mark_bar(cornerRadius=2)
    bars = bars.encode(x=x, y=y, y2=alt.Y2("high:Q"), color=color, tooltip=tooltip)
    sizes = alt.Chart(table).mark_text(dy=-8, color=TEXT, fontSize=11).encode(x=x, y=alt.Y("top:Q"), text="text:N")
    described = "The network: " + ", ".join(table["name"] + " " + table["maps"])
    return layered(bars, sizes, height=190, description=described)
