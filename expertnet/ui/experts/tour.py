"""The tour of the Experts page: its steps one after another, each in its view."""

from typing import Any

import streamlit as st

from expertnet.findings.tour import Step, tour_steps
from expertnet.routing.lab import Lab
from expertnet.ui import choices
from expertnet.ui.experts.controls import ANY_CLASS
from expertnet.ui.experts.selection import Selection
from expertnet.utils.text import escape

STEP = "tour"  # in the URL
LEFT, STEPS = "left the tour", "steps of the tour"  # in the session


def tour(selection: Selection, lab: Lab | None) -> None:
    """Offer the tour, or show its current step. Draws nothing for other networks, or once the user has left."""
    if lab is None or selection.split is None or not selection.run.shipped or LEFT in st.session_state:
        return
    key, steps = st.session_state.get(STEPS, ((), []))
    if key != selection.key:
        steps = tour_steps(lab, selection.predictor, selection.split)
        st.session_state[STEPS] = selection.key, steps
    if not steps:
        return
    asked = choices.read(STEP)
    number = int(asked) if asked in map(str, range(1, len(steps) + 1)) else 0

    def go(to: int) -> None:
        choices.write(STEP, str(to))
        choices.write("view", steps[to - 1].view)
        st.session_state.update(_widgets(steps[to - 1]))

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


def _widgets(step: Step) -> dict[str, Any]:
    """Return the values of the widgets that show what the step is about, by key."""
    values: dict[str, Any] = {} if step.block is None else {"block": step.block}
    if step.image is not None:
        values |= {"class": ANY_CLASS, "image": step.image + 1, "two": False}
    return values
