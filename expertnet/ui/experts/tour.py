"""The tour of the Experts page: its steps one after another, each in its view."""

from typing import Any

import streamlit as st

from expertnet.findings.tour import Step, tour_steps
from expertnet.routing.lab import Lab
from expertnet.ui import choices
from expertnet.ui.experts.controls import ANY_CLASS
from expertnet.ui.experts.selection import Selection
from expertnet.ui.shell import link
from expertnet.utils.text import escape

STEP = "tour"  # in the URL
STEPS = "steps of the tour"  # in the session


def steps_of(selection: Selection, lab: Lab, controls: str) -> list[Step]:
    """Return the steps of the tour, none for most networks. `controls` says what is known of the retrained controls."""
    if selection.split is None or not selection.run.shipped:
        return []
    key, steps = st.session_state.get(STEPS, ((), []))
    if key != (selection.key, controls):
        steps = tour_steps(lab, selection.predictor, selection.split, controls)
        st.session_state[STEPS] = (selection.key, controls), steps
    return steps


def current(steps: list[Step]) -> int:
    """Return the number of the step that the user is at, 0 outside the tour."""
    asked = choices.read(STEP)
    return int(asked) if asked in map(str, range(1, len(steps) + 1)) else 0


def text_of(steps: list[Step], number: int) -> str:
    """Return the text of a step as Markdown, with a link to the section that it is about."""
    step = steps[number - 1]
    anchor = f" [Go to the section “{step.heading}”](#{step.heading.lower().replace(' ', '-')})" if step.heading else ""
    return f"**{number} of {len(steps)}.** {escape(step.text)}{anchor}"


def what_next() -> None:
    """Draw links to what you can do after the tour."""
    with st.container(horizontal=True, gap="small"):
        link("train", "Train your own network", run="none")  # the form, also if a run is in view there
        link("data", "Use your own images")


def buttons(steps: list[Step], number: int) -> None:
    """Draw the buttons that lead through the tour, or offer it."""

    def go(to: int) -> None:
        choices.write(STEP, str(to))
        choices.write("view", steps[to - 1].view)
        st.session_state.update(_widgets(steps[to - 1]))

    if number > 1:
        st.button("Back", type="tertiary", on_click=go, args=(number - 1,), key="tour back")
    if number < len(steps):
        st.button("Next" if number else "Take the tour", on_click=go, args=(number + 1,), key="tour next")
    if number:
        st.button("Close", type="tertiary", on_click=choices.write, args=(STEP, ""), key="tour close")


def _widgets(step: Step) -> dict[str, Any]:
    """Return the values of the widgets that show what the step is about, by key."""
    values: dict[str, Any] = {} if step.block is None else {"block": step.block}
    if step.image is not None:
        values |= {"class": ANY_CLASS, "image": step.image + 1, "two": False}
    return values
