"""Classes: which are routed alike, what routing reveals about them, and which class mistakes are routed like."""

from typing import Any

import streamlit as st

from expertnet.findings import classes
from expertnet.findings.finding import Finding
from expertnet.routing.lab import Lab
from expertnet.ui.experts.controls import gallery, image_caption, pick_block
from expertnet.ui.experts.finding import show
from expertnet.ui.experts.selection import Selection
from expertnet.utils.text import escape

SHOWN = 12  # images behind a cell


def classes_view(selection: Selection, lab: Lab) -> None:
    left, right = st.columns(2, gap="large")
    with left:
        st.subheader("Mean routing by class")
        block = pick_block(selection.blocks)
        st.caption("Click a cell to see the images behind it.")
        cell = _clicked(classes.classes(lab, block), "cell")
        if cell:
            _images_of_cell(selection, lab, block, cell["class"], int(cell["expert"]))
        st.subheader("Information about the class")
        show(classes.information(lab))
    with right:
        st.subheader("All images by routing")
        st.caption("Click a dot to see its image.")
        point = _clicked(classes.plane(lab), "point")
        if point:
            index = int(point["image"]) - 1
            gallery(selection, [index], [image_caption(lab, index)])
        st.subheader("Mistakes")
        show_mistakes(lab)


def show_mistakes(lab: Lab, suffix: str = "") -> None:
    """Show which class mistakes are routed like, or why this cannot be said."""
    finding = classes.mistakes(lab)
    if finding is not None:
        show(finding, suffix=suffix)
    elif lab.accuracy == 1:
        st.caption("This network makes no mistakes on its test set.")
    else:
        st.caption("Too few classes have correctly classified images to compare the mistakes with.")


def _clicked(finding: Finding, name: str) -> dict[str, Any] | None:
    """Show a finding and return what the user clicked in its chart."""
    selected = show(finding, select=True).selection.get(name)
    return selected[0] if selected else None


def _images_of_cell(selection: Selection, lab: Lab, block: int, name: str, expert: int) -> None:
    """Show the images of a class with the largest weights for an expert."""
    members = (lab.routed.labels == lab.classes.index(name)).nonzero()[:, 0]
    weights = lab.routed.routing[members, block - 1, expert - 1]
    order = weights.argsort(descending=True, stable=True)[:SHOWN].tolist()
    st.caption(f"Images of class {escape(name)} with the largest weights for expert {expert} in block {block}:")
    gallery(selection, [int(members[place]) for place in order], [f"{weights[place]:.2f}" for place in order])
