"""What routing in other ways does to the accuracy."""

from __future__ import annotations

from expertnet.charts.routing import interval_dots
from expertnet.findings.ablations import NORMS
from expertnet.findings.finding import Finding, cached
from expertnet.routing.effects import Effects
from expertnet.routing.policies import policy_table
from expertnet.utils.text import percent, points


@cached
def policies(effects: Effects) -> Finding:
    table = policy_table(effects).set_index("policy")
    learned, shuffled = (table.loc[policy].to_dict() for policy in ("learned", "shuffled"))
    if shuffled["high"] < 0:
        sentence = (
            "Routing by image earns something: with the weights of another image the accuracy falls by "
            f"{points(shuffled['change'])}, to {percent(shuffled['accuracy'])}."
        )
    else:
        sentence = (
            "Routing by image earns nothing that this test set could show: with another image's weights the accuracy "
            f"is {percent(shuffled['accuracy'])}, and {percent(learned['accuracy'])} with the image's own."
        )
    method = (
        f"Accuracy on the same {len(effects.labels):,} test images, with 95% intervals of the paired difference from "
        f"the learned routing (the line). The class's mean uses the true class, which no network knows. {NORMS}"
    )
    shown = table.reset_index()
    shown = shown.assign(
        low=shown["accuracy"] - shown["change"] + shown["low"], high=shown["accuracy"] - shown["change"] + shown["high"]
    )
    chart = interval_dots(shown, "routing", "accuracy", "accuracy", rule=float(table["accuracy"].to_numpy()[0]))
    return Finding("routings", sentence, chart, table.reset_index(), method)
