"""How right and how certain a network is under other routing policies, on clean and on damaged images."""

from functools import partial

import pandas as pd

from expertnet.charts.base import tooltips
from expertnet.charts.effects import interval_dots
from expertnet.findings.finding import Finding, cached
from expertnet.routing.corruptions import CONTRAST, HIDDEN, LIGHT, NOISE
from expertnet.routing.effects import AVERAGED
from expertnet.routing.paired import DRAWS, SIGNIFICANT
from expertnet.routing.passes import ESTIMATED_ON
from expertnet.routing.robustness import (
    BINS,
    CLEAN,
    CONDITIONS,
    IMAGES,
    Robustness,
    calibration_table,
    corruption_table,
)
from expertnet.utils.text import bounds, counted, percent, points, signed

NORMS = (
    f"Mean weights are those of at most {AVERAGED:,} training images. Under each policy, the batch norms are estimated again on "
    f"{ESTIMATED_ON} clean training images, also for the network's own routing."
)


@cached
def calibration(found: Robustness) -> Finding:
    """Compare the network's certainty with its accuracy, under each policy."""
    table = calibration_table(found)
    own, mean = (table[table["policy"] == policy].iloc[0] for policy in ("learned", "mean"))
    images = counted(len(found.labels), f"{found.part} image")
    numbers = f"a mean probability of {percent(own['confidence'])} for its answers, of which {percent(own['accuracy'])} are right"
    interval = f"95% for the difference: {bounds(own['low'], own['high'])} points"
    kind = "overconfident" if own["low"] > 0 else "underconfident" if own["high"] < 0 else ""
    kind = kind or "not measurably over- or underconfident"
    sentence = f"With re-estimated batch norms, the network is {kind} on {images}: it gives {numbers} ({interval})."
    change = f"{mean['loss_change']:+.3f}, 95%: {mean['loss_low']:+.3f} to {mean['loss_high']:+.3f}"
    said = "raise" if mean["loss_low"] > 0 else "lower" if mean["loss_high"] < 0 else "do not measurably change"
    sentence += f" Mean weights {said} its log loss ({change})."
    method = (
        f"On at most {IMAGES:,} images, chosen at random. Confidence is the probability of the answer, and the gap is the mean confidence "
        "minus the accuracy, in points. Log loss, in nats, is minus the logarithm of the true class's probability, the lower the better; "
        "it judges certainty and accuracy at once. The 95% interval of the gap is that of the accuracy (Wilson 1927), for the mean "
        "confidence as measured; that of the log loss is by Student's t over the images. Error is the calibration error in "
        f"{BINS} equally wide bins of confidence (Guo 2017, arXiv:1706.04599). It is above 0 by chance alone, the more so the fewer images "
        f"there are. {NORMS}"
    )
    gaps = zip(table["routing"], table["gap"], table["confidence"], strict=True)
    texts = [f"{routing}: {signed(gap)} ({percent(sure)} sure)" for routing, gap, sure in gaps]
    reach = max(0.02, float(table[["low", "high"]].abs().to_numpy().max()) * 1.1)
    tooltip = tooltips("routing:N", **dict.fromkeys(("accuracy", "confidence", "gap", "low", "high", "error"), ".2%"))
    described = "Mean confidence minus accuracy under each routing policy, with intervals"
    chart = partial(
        interval_dots,
        table.assign(text=texts),
        "gap",
        "confidence minus accuracy",
        (-reach, reach),
        described,
        tooltip,
        "+~%",
        0.0,
    )
    return Finding("calibration", "chart of calibration", sentence, chart, table, method)


@cached
def corruptions(found: Robustness) -> Finding:
    """Compare the network's own routing with mean weights on damaged images."""
    table = corruption_table(found)
    damaged, images = table[table["corruption"] != CLEAN], counted(len(found.labels), f"{found.part} image")
    clean = table.iloc[0]["learned"]
    worst = damaged.iloc[int(damaged["learned"].argmin())]
    sentence = (
        f"Of {images}, {percent(clean)} are right with re-estimated batch norms. Of {len(damaged)} kinds of damage, "
        f"{worst['corruption']} leaves the fewest: {percent(worst['learned'])}. {_reliance(damaged)}"
    )
    method = (
        f"On at most {IMAGES:,} images, chosen at random, each damaged in {len(damaged)} ways: noise (Gaussian, with a standard deviation "
        f"of {NOISE:.0f} of 255), blur, contrast ({percent(CONTRAST, 0)} of it is left), darkness ({percent(LIGHT, 0)} of the light), "
        f"occlusion (a black square with 1/{HIDDEN} of the image's side) and pixelation (2 x 2 pixels become one), in the spirit of "
        "Hendrycks and Dietterich (2019, arXiv:1903.12261). One severity stands for each. The dot is the change in accuracy from the "
        "network's own routing to mean weights, each image compared with itself. The intervals are those of Agresti and Min (2005) with "
        f"Bonferroni's correction: at 95% for all {len(CONDITIONS)} conditions together. p is corrected for their number with {DRAWS} "
        "random flips of the images' signs (maxT, Westfall and Young 1993). Routing helps or does harm if p is at most 0.05; the interval "
        f"is more cautious and may hold 0. {NORMS}"
    )
    rows = zip(*(table[name] for name in ("corruption", "learned", "accuracy", "change")), strict=True)
    texts = [f"{name}: {percent(own)} → {percent(mean)} ({signed(change)})" for name, own, mean, change in rows]
    ends = [0.0, *table["low"], *table["high"]]
    air = max((max(ends) - min(ends)) * 0.08, 0.005)
    tooltip = tooltips(
        "corruption:N", **dict.fromkeys(("learned", "accuracy", "change", "low", "high"), ".2%"), p=".3f"
    )
    described = "Change in accuracy from the network's own routing to mean weights on damaged images, with intervals"
    domain, title = (min(ends) - air, max(ends) + air), "change with mean weights"
    chart = partial(interval_dots, table.assign(text=texts), "change", title, domain, described, tooltip, "+~%", 0.0)
    return Finding("corruptions", "chart of damaged images", sentence, chart, table, method)


def _reliance(damaged: pd.DataFrame) -> str:
    """Say under which kinds of damage per-image routing helps or harms, beyond chance."""
    told = damaged[damaged["p"] <= SIGNIFICANT]
    parts = [
        f"{verb} under {', '.join(rows['corruption'])} (by up to {points(rows['change'].abs().max())})"
        for verb, rows in (("helps", told[told["change"] < 0]), ("does harm", told[told["change"] > 0]))
        if len(rows)
    ]
    if not parts:
        return "Per-image routing makes no measurable difference to mean weights under any of them."
    return f"Against mean weights, per-image routing {' and '.join(parts)}."
