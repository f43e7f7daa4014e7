"""The network as a diagram."""

from __future__ import annotations

import math

import altair as alt
import pandas as pd

from expertnet.charts.base import BLUE, GREY, layered, tooltips


def architecture(stages: pd.DataFrame) -> alt.LayerChart:
    """Draw the network from image (left) to classes (right): columns name, channels, size (pixels), experts.

    A column's height is the logarithm of its feature maps' size. Blocks are split into their experts.
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
                *tooltips("kind:N"),
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
