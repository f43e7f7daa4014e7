"""Classes: which are routed alike, how much routing tells about them, and whether mistakes route like what they were taken for."""

from __future__ import annotations

import streamlit as st

from expertnet.findings import classes
from expertnet.routing.lab import Lab
from expertnet.ui.experts.common import Chosen, gallery, named, pick_block, show, why_no_mistakes
from expertnet.utils.text import escape

SHOWN = 12  # images behind a cell


def classes_view(chosen: Chosen, lab: Lab) -> None:
    left, right = st.columns(2, gap="large")
    with left:
        st.subheader("Mean routing by class")
        block = pick_block(chosen.blocks)
        cell = _clicked(show(classes.classes(lab, block, "cell"), select=True), "cell")
        if cell:
            _behind(chosen, lab, block, cell["class"], int(cell["expert"]))
        else:
            st.caption("Click a cell to see the images behind it.")
        st.subheader("What routing tells about the class")
        show(classes.information(lab))
    with right:
        st.subheader("All images by their routing")
        point = _clicked(show(classes.plane(lab, "point"), select=True), "point")
        if point:
            number = int(point["image"]) - 1
            gallery(chosen, [number], [named(chosen, lab, number)])
        else:
            st.caption("Click a dot to see its image.")
        st.subheader("Mistakes")
        show(classes.mistakes(lab))
        if lab.mistakes.empty:
            st.caption(why_no_mistakes(lab))


def _clicked(event: object, name: str) -> dict | None:
    selected = event.selection.get(name) if event is not None else None  # type: ignore[attr-defined]
    return selected[0] if selected else None


def _behind(chosen: Chosen, lab: Lab, block: int, name: str, expert: int) -> None:
    """The images of a class that weigh an expert most."""
    members = (lab.routed.labels == lab.classes.index(name)).nonzero()[:, 0]
    weights = lab.routed.routing[members, block - 1, expert - 1]
    order = weights.argsort(descending=True, stable=True)[:SHOWN].tolist()
    st.caption(f"Images of {escape(name)} that weigh expert {expert} most in block {block}, and how much:")
    gallery(chosen, [int(members[place]) for place in order], [f"{weights[place]:.2f}" for place in order])
