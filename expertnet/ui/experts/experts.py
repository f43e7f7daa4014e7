"""Experts: how much each is used, what it is used for, and which images weigh it most and least."""

from __future__ import annotations

import streamlit as st

from expertnet.findings import experts
from expertnet.routing.lab import Lab
from expertnet.routing.usage import extremes
from expertnet.ui.experts.common import Chosen, gallery, pick_block, pick_number, show

SHOWN = 10  # images in a gallery


def experts_view(chosen: Chosen, lab: Lab) -> None:
    left, right = st.columns(2, gap="large")
    with left:
        st.subheader("How much each expert is used")
        show(experts.utilization(lab))
        st.subheader("Specializations")
        show(experts.specializations(lab))
    with right:
        st.subheader("Decisive, varied, or unused")
        show(experts.entropies(lab), table=True)
    st.subheader("The images of an expert")
    st.markdown("The images that weigh an expert most and least tell what it looks for, if anything.")
    sliders = st.columns(2, gap="large")
    with sliders[0]:
        block = pick_block(chosen.blocks)
    with sliders[1]:
        expert = pick_number("Expert", lab.num_experts, 1, "expert")
    most, least = extremes(lab.routed.routing, block, expert, SHOWN)
    weights = lab.routed.routing[:, block - 1, expert - 1]
    for title, numbers in (("Most", most), ("Least", least)):
        st.caption(title)
        gallery(chosen, numbers, [f"{weights[number]:.2f}" for number in numbers])
