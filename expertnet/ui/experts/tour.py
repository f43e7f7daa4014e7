"""A tour of the Experts page in five steps, for an included network whose experts follow the ground of the image."""

from dataclasses import dataclass
from typing import Any

import pandas as pd
import streamlit as st

from expertnet.findings import factors
from expertnet.findings.finding import highest
from expertnet.routing.factors import known_factors, what_it_shows
from expertnet.routing.interventions import ablated
from expertnet.routing.lab import Lab
from expertnet.ui import choices
from expertnet.ui.experts.controls import ANY_CLASS
from expertnet.ui.experts.selection import Selection
from expertnet.utils.text import escape

STEP = "tour"  # in the URL
LEFT, STEPS = "left the tour", "steps of the tour"  # in the session
TRIED = 20  # images, for one whose answer depends on its expert
FOLLOWS = 0.9  # share of the variance of its weights that the ground explains in the block of the tour


@dataclass(frozen=True)
class Step:
    """A text, the view in which to read it, and the values of its widgets by key."""

    text: str
    view: str
    values: dict[str, Any]


def tour(selection: Selection, lab: Lab | None) -> None:
    """Offer the tour, or show its current step. Draws nothing for other networks, or once the user has left."""
    if lab is None or not selection.run.shipped or LEFT in st.session_state:
        return
    key, steps = st.session_state.get(STEPS, ((), []))
    if key != selection.key:
        steps = tour_steps(selection, lab)
        st.session_state[STEPS] = selection.key, steps
    if not steps:
        return
    asked = choices.read(STEP)
    number = int(asked) if asked in map(str, range(1, len(steps) + 1)) else 0

    def go(to: int) -> None:
        choices.write(STEP, str(to))
        choices.write("view", steps[to - 1].view)
        st.session_state.update(steps[to - 1].values)

    def leave() -> None:
        choices.write(STEP, "")
        st.session_state[LEFT] = True

    with st.container(border=True, horizontal=True, vertical_alignment="center", gap="small", key="tour of experts"):
        text = (
            f"**{number} of {len(steps)}.** {escape(steps[number - 1].text)}"
            if number
            else "**New here?** See what experts do."
        )
        st.markdown(text, width="stretch")
        with st.container(horizontal=True, width="content"):
            if number > 1:
                st.button("Back", type="tertiary", on_click=go, args=(number - 1,), key="tour back")
            if number < len(steps):
                st.button("Next" if number else "Take the tour", on_click=go, args=(number + 1,), key="tour next")
            st.button("Close", type="tertiary", on_click=leave, key="tour close")


def tour_steps(selection: Selection, lab: Lab) -> list[Step]:
    """Return the steps; none if no block follows the ground, or if no two images show it."""
    dataset, split = selection.predictor.settings.data.dataset, selection.split
    known, found = known_factors(dataset, lab.count), factors.factors(lab, dataset)
    if dataset != "contexts" or known is None or found is None or split is None:
        return []
    most = highest(found.table[found.table["factor"] == "ground"], "deviation")
    block, grounds = int(most["block"]), factors.values(lab, dataset, int(most["block"]), "ground")
    pair = _pair(selection, lab, known, block)
    if most["share"] < FOLLOWS or grounds is None or pair is None:
        return []
    first, second = ({"class": ANY_CLASS, "image": index + 1, "block": block, "two": False} for index in pair)
    shows, weights = (
        [what_it_shows(dataset, lab.count, index) for index in pair],
        lab.routed.routing[list(pair), block - 1],
    )
    (best, other), (weight, another) = (values.tolist() for values in (weights.argmax(1) + 1, weights.amax(1)))
    answer, changed = (lab.classes[int(lab.routed.predictions[index])] for index in pair)
    return [
        Step(
            f"{shows[0].capitalize()}. Block {block} gives expert {best} the largest weight, {weight:.2f}, and the network "
            f"answers “{answer}”.",
            "One image",
            first,
        ),
        Step(
            f"{shows[1].capitalize()}: only the ground is another one. Block {block} gives expert {other} the largest weight, "
            f"{another:.2f}, and the answer is “{changed}”, which is what this shape means here.",
            "One image",
            second,
        ),
        Step(
            f"It is so in all {lab.count:,} test images. {grounds.sentence} See “What the routing follows” below.",
            "Classes",
            {"block": block},
        ),
        Step(
            f"The first image again. Scroll to “One image” and switch off expert {best}: the answer is no longer “{answer}”, "
            "because the other experts follow the rules of other grounds.",
            "What if",
            first,
        ),
        Step(
            "“Does the network rely on per-image routing?” shows what is lost if all images are routed alike, and the chart below "
            "it, what is lost without each expert.",
            "What if",
            {},
        ),
    ]


def _pair(selection: Selection, lab: Lab, known: pd.DataFrame, block: int) -> tuple[int, int] | None:
    """Return two test images (from 0) that differ in the ground alone, have other experts and other answers, both right.

    Without its expert, the first one gets another answer.
    """
    assert selection.split is not None
    routed = lab.routed
    weights, experts = (values.tolist() for values in routed.routing[:, block - 1].max(1))
    right = (routed.predictions == routed.labels).nonzero()[:, 0].tolist()
    alike = known[["shape", "color", "texture"]].astype(str).agg(" ".join, axis=1)
    for first in sorted(right, key=lambda index: -weights[index])[:TRIED]:
        without = {block: ablated(experts[first])}
        probabilities_1C, _ = selection.predictor(selection.split.images[[first]], without)
        if int(probabilities_1C.argmax()) == int(routed.labels[first]):
            continue
        for second in sorted(right, key=lambda index: -weights[index]):
            other = experts[second] != experts[first] and routed.labels[second] != routed.labels[first]
            if other and alike[second] == alike[first]:
                return first, second
    return None
