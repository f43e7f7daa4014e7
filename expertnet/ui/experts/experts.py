"""Experts: the images that each expert of a block looks for, if any, how much it is used, and what for."""

import streamlit as st

from expertnet.findings import experts
from expertnet.findings.expert_card import expert_card, file_name, network_in_words, to_html
from expertnet.routing.ablations import ABLATIONS
from expertnet.routing.effects import parts
from expertnet.routing.lab import Lab
from expertnet.ui.experts.controls import gallery, pick_block
from expertnet.ui.experts.more import folded, likeness_panel, stability_panel
from expertnet.ui.experts.selection import Selection
from expertnet.ui.finding import show
from expertnet.utils.text import escape

SHOWN, WIDTH = 10, 56  # images in a gallery, and their width in pixels
CARD = 330  # pixels: width below which cards are drawn below one another


def experts_view(selection: Selection, lab: Lab) -> None:
    block = pick_block(selection.blocks)
    columns = 2 if lab.num_experts == 4 else min(lab.num_experts, 4)  # or the fourth would be alone below three
    with st.grid(columns, min_column_width=CARD):
        for expert in range(1, lab.num_experts + 1):
            with st.container(border=True, key=f"expert {expert}"):
                _card(selection, lab, block, expert)
    left, right = st.columns(2, gap="large")
    with left:
        st.subheader("Expert usage")
        show(experts.utilization(lab))
        st.subheader("Specializations")
        show(experts.specializations(lab))
    with right:
        st.subheader("Kinds of routing")
        show(experts.entropies(lab), table=True)
    if lab.num_experts > 1:
        part = parts(selection.run)[0]
        folded(f"How similar are the experts of block {block}?", lambda: likeness_panel(selection, part, block))
        folded("How stable is the routing of an image?", lambda: stability_panel(selection, part))


def _card(selection: Selection, lab: Lab, block: int, expert: int) -> None:
    """Show the images with the largest and smallest weights for an expert, which show what it looks for, if anything."""
    found = experts.examples(lab, block, expert, SHOWN)
    st.markdown(f"**Expert {expert} of block {block}**")
    st.caption(escape(found.sentence))
    for title, indices in (("Largest weights", found.largest), ("Smallest weights", found.smallest)):
        if indices:
            st.markdown(title)
            gallery(selection, indices, [f"{found.weights_N[index]:.2f}" for index in indices], WIDTH)

    def page() -> str:
        effects = ABLATIONS.cached(selection.run, parts(selection.run)[0], selection.checkpoint)
        images = None if selection.split is None else selection.split.images
        return to_html(
            expert_card(lab, block, expert, effects), network_in_words(selection.run, selection.predictor), images
        )

    st.download_button(
        f"Save card of expert {expert}",
        page,
        file_name(block, expert),
        "text/html",
        icon=":material/download:",
        type="tertiary",
        key=f"card {expert}",
        on_click="ignore",
        help="A page to share: what this expert prefers, what it changes, and what is lost without it.",
    )
