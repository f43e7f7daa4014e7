"""Classes: which are routed similarly, and what routing reveals about them."""

from functools import partial
from typing import Any

import streamlit as st

from expertnet.findings import classes
from expertnet.routing.lab import Lab
from expertnet.routing.probe import Probes, cached_probes, measure_probes
from expertnet.ui.background import in_background, threads
from expertnet.ui.experts.controls import gallery, image_caption, pick_block, pick_number
from expertnet.ui.experts.factors import factors_panel
from expertnet.ui.experts.more import folded
from expertnet.ui.experts.selection import Selection
from expertnet.ui.finding import show
from expertnet.ui.style import room_key
from expertnet.utils.progress import Report, ShouldStop
from expertnet.utils.text import escape

SHOWN = 12  # images behind a cell
HIGHLIGHTED, EXPERT, IMAGE = "highlight", "expert", "dot"  # widgets; the last is the number of a test image


def classes_view(selection: Selection, lab: Lab) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom", key=room_key("labelled dots")):
        block = pick_block(selection.blocks)
        names = sorted(set(lab.by_class["class"]), key=lab.classes.index)
        highlighted = st.selectbox(
            "Highlight a class", names, index=None, key=HIGHLIGHTED, bind="query-params", placeholder="None", width=180
        )
        number = st.number_input(
            "Show image number",
            1,
            step=1,
            value=None,
            key=IMAGE,
            bind="query-params",
            on_change=_highlight_its_class,
            args=(lab,),
            placeholder=f"1 to {lab.count:,}",
            width=180,
        )
        what = "images" if selection.split is not None else "the numbers of images, which are not on this computer"
        st.caption(f"To see {what}, click a cell or a dot, or choose a class or a number.", width="content")
    factors_panel(selection.predictor.settings.data.dataset, lab, block)  # which says more, where it is known
    left, right = st.columns(2, gap="large")
    with left:
        st.subheader("Mean routing by class")
        show(classes.classes(lab, block, highlighted), clicked=_choose_cell)
        if highlighted is not None:
            expert = pick_number("Expert", range(1, lab.num_experts + 1), 1, EXPERT)
            _images_of_cell(selection, lab, block, highlighted, expert)
    with right:
        st.subheader("All images by routing")
        show(classes.plane(lab, highlighted), clicked=partial(_choose_image, lab))
        if number is not None and number <= lab.count:
            gallery(selection, [number - 1], [image_caption(lab, number - 1)])
        elif number is not None:
            st.info(f"There is no image {number:,}. Choose a number from 1 to {lab.count:,}.", icon=":material/info:")
    folded("Information about the class", lambda: _information(selection, lab))


def _information(selection: Selection, lab: Lab) -> None:
    """Show what the weights say about the class, probed in the background, and what an expert drawn by them says."""
    run, checkpoint, split = selection.run, selection.checkpoint, selection.split

    def work(progress: Report, cancelled: ShouldStop) -> Probes:
        return measure_probes(run, lab.routed, split, checkpoint, progress, cancelled, threads())

    left, right = st.columns(2, gap="large")
    with left:
        st.markdown("**What a linear probe reads from the weights**")
        key, label = ("probes", *selection.key, split is None), "Probe the routing weights"
        probes = cached_probes(run, checkpoint, split) or in_background(key, label, work)
        if probes is not None:
            show(classes.probe(probes, lab))
    with right:
        st.markdown("**What an expert drawn by the weights says**")
        show(classes.information(lab))


def _choose_cell(cell: dict[str, Any]) -> None:
    st.session_state[HIGHLIGHTED] = cell.get("class")
    if cell:
        st.session_state[EXPERT] = int(cell["expert"])


def _choose_image(lab: Lab, point: dict[str, Any]) -> None:
    st.session_state[IMAGE] = int(point["image"]) if point else None
    _highlight_its_class(lab)


def _highlight_its_class(lab: Lab) -> None:
    number = st.session_state[IMAGE]
    known = number is not None and number <= lab.count
    st.session_state[HIGHLIGHTED] = lab.classes[int(lab.routed.labels[number - 1])] if known else None


def _images_of_cell(selection: Selection, lab: Lab, block: int, name: str, expert: int) -> None:
    """Show the images of a class with the largest weights for an expert."""
    members = (lab.routed.labels == lab.classes.index(name)).nonzero()[:, 0]
    weights = lab.routed.routing[members, block - 1, expert - 1]
    order = weights.argsort(descending=True, stable=True)[:SHOWN].tolist()
    st.caption(f"Images of class {escape(name)} with the largest weights for expert {expert} in block {block}:")
    gallery(selection, [int(members[place]) for place in order], [f"{weights[place]:.2f}" for place in order])
