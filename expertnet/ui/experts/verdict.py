"""The card at the head of the lab: what routing does in this network, whether the network relies on it, and the tour."""

import streamlit as st

from expertnet.findings.controls import in_short, known
from expertnet.findings.verdict import headline, verdict
from expertnet.routing.effects import parts
from expertnet.routing.lab import Lab
from expertnet.store.run_store import RunStore
from expertnet.ui import choices
from expertnet.ui.experts import tour
from expertnet.ui.experts.effects import known_policy_effects, policy_effects
from expertnet.ui.experts.selection import Selection
from expertnet.utils.text import escape

CONTROLS = "Controls"  # the view
SHIPPED = (
    "“As shipped” is the change in the network exactly as it was trained. Before the other figures were measured, its batch norms "
    "were adapted to the change. **What if** has the details."
)
WIDTHS = [5, 2]  # of the text and the buttons, in a wide window


def verdict_card(selection: Selection, lab: Lab, view: str) -> None:
    """Show the verdict in a few words and offer the tour, or show its step; the figures are in a popover.

    Offer to measure whether the network relies on routing if this is not known yet, except in the view What if, which has the
    same button. Say what the retrained controls show, except in Controls, which says so itself.
    """
    with st.container(border=True, key="verdict", gap="xsmall"):
        text, row = st.columns(WIDTHS, vertical_alignment="center")
        part = parts(selection.run)[0]
        measured = known_policy_effects(selection, part)
        if measured is None and view != "What if" and selection.split is not None:
            measured = policy_effects(selection, part)
    short = in_short(selection.run, RunStore())
    steps = tour.steps_of(selection, lab, short)
    number = tour.current(steps)
    said = [headline(measured), *([short] if view != CONTROLS else [])]
    with text:
        st.markdown(tour.text_of(steps, number) if number else escape(" ".join(said)))
        if number and number == len(steps):
            tour.what_next()
    with row, st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="right", gap="small"):
        tour.buttons(steps, number)
        if short and view != CONTROLS and not number:
            st.button("See Controls", type="tertiary", on_click=choices.write, args=("view", CONTROLS))
        with st.popover("Details", type="tertiary", key="details of the verdict"):
            retrained = known(selection.run, RunStore()) if view != CONTROLS else None
            st.markdown(escape(" ".join(verdict(lab, measured))))
            if measured is not None:
                st.caption(SHIPPED)
            if retrained is not None:
                st.markdown(escape(retrained[1].sentence))
