"""What other ways to route do to the accuracy on the test set."""

from __future__ import annotations

from expertnet.charts.routing import interval_dots
from expertnet.findings.ablations import NORMS
from expertnet.findings.finding import Finding, cached
from expertnet.routing.effects import Effects
from expertnet.routing.policies import policy_table
from expertnet.utils.text import percent, points


@cached
def policies(effects: Effects) -> Finding:
    """Compare the accuracy of all policies, and say whether per-image routing matters."""
    table = policy_table(effects)
    by_name = table.set_index("policy")
    learned, shuffled = (by_name.loc[policy].to_dict() for policy in ("learned", "shuffled"))
    both = f"accuracy is {percent(shuffled['accuracy'])} with another image's weights and {percent(learned['accuracy'])} with its own."
    if shuffled["high"] < 0:
        sentence = (
            "Per-image routing makes a measurable difference on this test set: with another image's weights, accuracy falls by "
            f"{points(shuffled['change'])} to {percent(shuffled['accuracy'])}."
        )
    elif shuffled["low"] > 0:
        sentence = f"Per-image routing brings no gain on this test set: {both}"
    else:
        sentence = f"Per-image routing makes no measurable difference on this test set: {both}"
    method = (
        f"Accuracy on the same {len(effects.labels):,} test images. The 95% intervals are of the difference from the network's own "
        "routing (the line), and compare each image with itself. The weights of the true class need labels, which a network does "
        f"not have. {NORMS}"
    )
    shift = table["accuracy"] - table["change"]  # the learned accuracy, around which differences are drawn
    shown = table.assign(low=shift + table["low"], high=shift + table["high"])
    chart = interval_dots(shown, "routing", "accuracy", "accuracy (line: own routing)", rule=learned["accuracy"])
    return Finding("routings", sentence, chart, table, method)
