"""The network as a diagram."""

from __future__ import annotations

import math

import altair as alt
import pandas as pd

from expertnet.charts.base import BLUE, GRAY, layered, tooltips


def architecture(stages: pd.DataFrame) -> alt.LayerChart:
    """Draw the network from image (left) to classes (right): columns name, channels, size (pixels), experts.

    A column's height is the logarithm of its feature maps' size. Blocks are split into their experts.
    """
    parts = []
    stages = stages.assign(
        maps=[f"{c} x {size} x {size}" for c, size in zip(stages["channels"], stages["size"], strict=True)]
    )
    for place, stage in enumerate(stages.to_dict("records")):
        height, experts = math.log2(stage["size"]) + 1, max(stage["experts"], 1)
        name = str(stage["name"]).removeprefix("Block ")
        kind = f"one of {experts} experts" if stage["experts"] else "layer"
        size = f"{stage['size']}²" if name != "Classes" else f"{stage['channels']}"
        for part in range(experts):
            low = -height / 2 + height * part / experts
            high = -height / 2 + height * (part + (0.88 if experts > 1 else 1)) / experts
            parts.append((place, name, low, high, height / 2, kind, stage["maps"], size))
    table = pd.DataFrame(parts, columns=["place", "name", "low", "high", "top", "kind", "maps", "size"])
    once = table.drop_duplicates("place")
    axis = alt.Axis(labelAngle=0, domain=False, ticks=False, labelOverlap=True)
    x = alt.X("name:N", sort=once["name"].tolist(), title=None, axis=axis)
    y = alt.Y("low:Q", axis=None, scale=alt.Scale(nice=False, padding=14))
    kinds = list(dict.fromkeys(table["kind"]))
    colors = alt.Scale(domain=kinds, range=[BLUE if "of" in kind else GRAY for kind in kinds])
    color = alt.Color("kind:N", legend=None, scale=colors)
    maps = alt.Tooltip("maps:N", title="channels, height, width")
    tooltip = [alt.Tooltip("name:N", title="stage"), maps, *tooltips("kind:N")]
    bars = alt.Chart(table).mark_bar(cornerRadius=2)
    bars = bars.encode(x=x, y=y, y2=alt.Y2("high:Q"), color=color, tooltip=tooltip)
    sizes = alt.Chart(once).mark_text(dy=-8, color=GRAY, fontSize=11)
    sizes = sizes.encode(x=x, y=alt.Y("top:Q"), text=alt.Text("size:N"))
    described = "The network: " + ", ".join(stages["name"] + " " + stages["maps"])
    return layered(bars, sizes, height=190, description=described)
