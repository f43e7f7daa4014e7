"""Chart of the paired differences between a network and its retrained controls."""

import altair as alt
import pandas as pd

from expertnet.charts.base import BLUE, GRAY, ORANGE, TEXT, dashed_line, layered, rows_height, tooltips

ROW = 44  # pixels: the name of a control lies above its interval
BEYOND = 3.0  # how many times as far as the single seeds the axis reaches; wider intervals are cut off


def difference_intervals(means: pd.DataFrame, seeds: pd.DataFrame, margin: float) -> alt.LayerChart:
    """Draw the difference in accuracy from each control, in points, over a band of ±`margin`.

    `means` has the columns control, gain, low, high, low_90, high_90, without intervals where there are none. `seeds` has
    control, seed, gain. A thin line is the 95% interval, a thick one the 90% interval, a tick one seed. Intervals that are too
    wide run out of the chart.
    """
    order = means["control"].tolist()
    texts = [f"{name}: {value:+.2f} points" for name, value in zip(order, means["gain"], strict=True)]
    table = means.assign(text=texts)
    shown = max(float(seeds["gain"].abs().max()), margin)
    widest = max([*means["low"].abs().dropna(), *means["high"].abs().dropna(), shown])  # that of two seeds can be huge
    most = min(widest * 1.12, shown * BEYOND)
    scale, axis = alt.Scale(domain=[-most, most], nice=False), alt.Axis(orient="top", tickCount=7, format="+,.1~f")

    def x(field: str) -> alt.X:
        title = "difference in accuracy (points): this network minus the other"
        return alt.X(f"{field}:Q", title=title, scale=scale, axis=axis)

    y = alt.Y("control:N", sort=order, axis=None)
    numbers = tooltips("control:N", **dict.fromkeys(("gain", "low", "high"), "+.2f"))
    rows, known = alt.Chart(table).encode(y=y), alt.Chart(table.dropna(subset=["low"])).encode(y=y, tooltip=numbers)
    band = alt.Chart(pd.DataFrame({"from": [-margin], "to": [margin]})).mark_rect(color=GRAY, opacity=0.18)
    ticks = alt.Chart(seeds).mark_tick(color=ORANGE, thickness=2, size=14)
    return layered(
        band.encode(x=x("from"), x2=alt.X2("to:Q")),
        dashed_line("zero", 0.0, x=x("zero")),
        known.mark_rule(color=BLUE, strokeWidth=1.5, clip=True).encode(x=x("low"), x2=alt.X2("high:Q")),
        known.mark_rule(color=BLUE, strokeWidth=5, clip=True).encode(x=x("low_90"), x2=alt.X2("high_90:Q")),
        ticks.encode(y=y, x=x("gain"), tooltip=tooltips("control:N", "seed:O", gain="+.2f")),
        rows.mark_point(color=BLUE, filled=True, size=70, opacity=1).encode(x=x("gain"), tooltip=numbers),
        rows.mark_text(align="left", dy=-16, color=TEXT).encode(x=alt.value(0), text=alt.Text("text:N")),
        height=rows_height(len(table), ROW),
        description=f"Difference in accuracy between the network and each control, with intervals and a margin of {margin:g} points",
    )
