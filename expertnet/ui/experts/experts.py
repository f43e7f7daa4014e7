"""Experts: how much each is used, what it is used for, and the images with the largest and smallest weights for it."""

import streamlit as st

from expertnet.findings import experts
from expertnet.routing.lab import Lab
from expertnet.routing.weights import extremes
from expertnet.ui.experts.controls import gallery, pick_block, pick_number
from expertnet.ui.experts.finding import show
from expertnet.ui.experts.selection import Selection

SHOWN = 10  # images in a gallery


def experts_view(selection: Selection, lab: Lab) -> None:
    left, right = st.columns(2, gap="large")
    with left:
        st.subheader("Expert usage")
        show(experts.utilization(lab))
        st.subheader("Specializations")
        show(experts.specializations(lab))
    with right:
        st.subheader("Kinds of routing")
        show(experts.entropies(lab), table=True)
    st.subheader("Images by expert")
    st.markdown("The images with the largest and smallest weights for an expert show what it looks for, if anything.")
    left, right = st.columns(2, gap="large")
    with left:
        block = pick_block(selection.blocks)
    with right:
        expert = pick_number("Expert", range(1, lab.num_experts + 1), 1, "expert")
    largest, smallest = extremes(lab.routed.routing, block, expert, SHOWN)
    weights = lab.routed.routing[:, block - 1, expert - 1]
    for title, indices in (("Largest weights", largest), ("Smallest weights", smallest)):
        st.caption(title)
        gallery(selection, indices, [f"{weights[index]:.2f}" for index in indices])
