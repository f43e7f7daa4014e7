"""How much the best routing weights could gain, and whether that says anything about the router."""

from functools import partial

import pandas as pd
from torch import Tensor

from expertnet.charts.base import tooltips
from expertnet.charts.effects import interval_dots
from expertnet.findings.finding import Finding, cached
from expertnet.routing.headroom import MISTAKES, STEPS, Headroom
from expertnet.routing.paired import SIGNIFICANT, exact_p, paired_change, paired_interval, wilson
from expertnet.utils.text import bounds, counted, percent, signed

HARDLY = 0.2  # share of the mistakes below which the answers hardly depend on the weights


@cached
def headroom(found: Headroom) -> Finding:
    """Say how many mistakes other weights would repair, beside how many they would turn into another wrong class."""
    wrong = found.learned != found.labels
    repaired, third = (found.found == found.labels)[wrong], (found.others != found.labels)[wrong]
    reached = ((found.toward == found.others)[wrong])[third]
    rows = [_row("turned right", repaired), _row("turned into another wrong class", reached)]
    table = pd.DataFrame([row for row in rows if row["of"]], columns=list(rows[0]))
    method = (
        "For each mistake, the routing weights of all blocks are changed by gradient descent "
        f"({STEPS} steps of Adam) until the image's true class is as likely as they can make it. The rest of the network stays as "
        "shipped. No router knows the true class, so this is not what a router would achieve. It is also no exact bound: the search "
        "can miss the best weights, and more training could change the experts. As a control, the same search looks for weights that "
        "lead to another wrong class: the one whose probability is nearest to that of the true class, as a ratio. If that succeeds as "
        "often, weights can produce many answers, and repairing mistakes by them says nothing about the router. If both hardly ever "
        "succeed, the answers do not depend on the weights, so that the experts are interchangeable for these images. Intervals of "
        "shares are those of Wilson, those of paired differences those of Agresti and Min (2005), at 95%. The two searches differ beyond "
        "chance if the interval excludes 0 and, since a few mistakes can make it too narrow, McNemar's exact p is at most "
        f"{SIGNIFICANT}. At most {MISTAKES} mistakes are looked at; with more, only a random part of the images counts."
    )
    chart = None
    if len(table):
        shares = zip(*(table[name] for name in ("mistakes", "reached", "of", "share")), strict=True)
        texts = [f"{name}: {reached:,} of {of:,} ({percent(share)})" for name, reached, of, share in shares]
        tooltip = tooltips("mistakes:N", "reached:Q", "of:Q", share=".1%", low=".1%", high=".1%")
        described = "Shares of the mistakes that other weights turn right, or into another wrong class, with intervals"
        chart = partial(
            interval_dots, table.assign(text=texts), "share", "share of the mistakes", (0, 1), described, tooltip
        )
    return Finding("headroom", "chart of headroom", _sentence(found, repaired, third, reached), chart, table, method)


def _row(name: str, reached: Tensor) -> dict[str, object]:
    count, of = int(reached.sum()), len(reached)
    low, high = _interval(reached)
    return {"mistakes": name, "reached": count, "of": of, "share": count / max(of, 1), "low": low, "high": high}


def _interval(reached: Tensor) -> tuple[float, float]:
    """Return Wilson's 95% interval of a share."""
    if not len(reached):
        return 0.0, 1.0
    return wilson(reached.double().mean().item(), len(reached))


def _sentence(found: Headroom, repaired: Tensor, third: Tensor, reached: Tensor) -> str:
    images, mistakes = f"{counted(len(found.labels), f'{found.part} image')}", len(repaired)
    if not mistakes:
        return f"The network makes no mistake on {images}, so other routing weights have nothing to repair."
    gain = paired_change(found.labels, found.learned, found.found)
    before = gain["accuracy"] - gain["change"]
    sentence = (
        f"Other routing weights would repair {int(repaired.sum()):,} of {counted(mistakes, 'mistake')} on {images}: with the best "
        f"weights found for each image, the accuracy would be {percent(gain['accuracy'])} instead of {percent(before)} "
        f"({signed(gain['change'])} points, 95%: {bounds(gain['low'], gain['high'])})."
    )
    if not len(reached):
        return f"{sentence} Without a third class, nothing shows whether the weights favor the true one."
    own = repaired[third]
    changed = int((reached & ~own).sum()), int((own & ~reached).sum())
    low, high = paired_interval(*changed, len(own))
    beyond_chance = exact_p(*changed) <= SIGNIFICANT
    same = (
        f"The same search turns {int(reached.sum()):,} of {counted(len(reached), 'mistake')} into another wrong class"
    )
    if beyond_chance and low > 0:
        return f"{sentence} {same}, fewer than chance explains: weights that favor the true class exist, and the router misses them."
    if max(_interval(own)[1], _interval(reached)[1]) < HARDLY:
        return f"{sentence} {same}. These answers hardly depend on the weights: the experts are nearly interchangeable here."
    if beyond_chance and high < 0:
        return f"{sentence} {same}, more than chance explains, so the weights do not favor the true class."
    return f"{sentence} {same}, which is not a measurable difference: this does not show that the router is bad."
