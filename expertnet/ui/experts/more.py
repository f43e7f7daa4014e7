"""Results that are computed once their panel is unfolded: headroom, damaged images, likeness and stability."""

from collections.abc import Callable

import streamlit as st

from expertnet.findings.damage import calibration, corruptions
from expertnet.findings.headroom import headroom
from expertnet.findings.likeness import likeness
from expertnet.findings.stability import stability
from expertnet.inference.mistakes import Part
from expertnet.routing.headroom import HEADROOM
from expertnet.routing.likeness import LIKENESS
from expertnet.routing.robustness import ROBUSTNESS
from expertnet.routing.stability import STABILITY
from expertnet.ui.experts.effects import measured
from expertnet.ui.experts.selection import Selection
from expertnet.ui.finding import show


def folded(title: str, panel: Callable[[], None]) -> None:
    """Show a panel that is drawn only while it is unfolded."""
    box = st.expander(title, on_change="rerun", key=title)
    if box.open:
        with box:
            panel()


def headroom_panel(selection: Selection, part: Part) -> None:
    """Show which mistakes other weights would repair."""
    found = measured(selection, part, "Look for better routing weights", HEADROOM, at_once=True)
    if found is not None:
        show(headroom(found))


def robustness_panel(selection: Selection, part: Part) -> None:
    """Show how certain the network is, and what damage to the images does, with and without per-image routing."""
    found = measured(selection, part, "Classify damaged images", ROBUSTNESS, at_once=True)
    if found is not None:
        left, right = st.columns(2, gap="large")
        with left:
            st.markdown("**Calibration**")
            show(calibration(found))
        with right:
            st.markdown("**Damaged images**")
            show(corruptions(found))


def likeness_panel(selection: Selection, part: Part, block: int) -> None:
    """Show how similar the outputs of a block's experts are."""
    found = measured(selection, part, "Compare the experts' outputs", LIKENESS, at_once=True)
    if found is not None:
        show(likeness(found, tuple(selection.blocks), block))


def stability_panel(selection: Selection, part: Part) -> None:
    """Show how far changes of an image move its routing."""
    found = measured(selection, part, "Route variants of the images", STABILITY, at_once=True)
    if found is not None:
        show(stability(found, tuple(selection.blocks)))
