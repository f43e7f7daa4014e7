"""Compare: the routing of two runs side by side, with the experts of the second matched to those of the first."""

import streamlit as st

from expertnet.data.info import is_own
from expertnet.findings import classes, experts
from expertnet.findings.agreement import agreement
from expertnet.inference.predictor import load_predictor
from expertnet.routing.lab import Lab, matched
from expertnet.store.run import Run
from expertnet.training.manager import manager
from expertnet.ui.experts.controls import pick_block
from expertnet.ui.experts.selection import Selection, lab_of
from expertnet.ui.finding import show
from expertnet.ui.own_test_set import own_test_set
from expertnet.ui.run_picker import offered_others, pick_second
from expertnet.ui.shell import action, open_page
from expertnet.utils.text import escape


def compare_view(selection: Selection, lab: Lab) -> None:
    other = _pick_other(selection)
    if other is None:
        return
    checkpoint = other.checkpoints.present()[0]
    predictor = load_predictor(other, checkpoint, threads=1)
    same_images = is_own(predictor.info, selection.predictor.info)
    other_lab = lab_of(Selection(other, checkpoint, predictor, selection.split if same_images else own_test_set(other)))
    if other_lab is None:
        return
    renumbered = matched(other_lab, lab)
    st.subheader("Agreement")
    show(agreement(lab, renumbered))
    st.markdown(
        "The numbers of experts are arbitrary, so the experts of the second run are renumbered to match those of the first. "
        "In each block, the match is the one with the smallest differences in the weights of the test images, or of the classes if the "
        "images are others (Hungarian method)."
    )
    block = pick_block(selection.blocks)
    for title, panel in (
        ("Mean routing by class", lambda each, of: show(classes.classes(each, block), of=of)),
        ("Information about the class", lambda each, of: show(classes.information(each), of=of)),
        ("Expert usage", lambda each, of: show(experts.utilization(each), of=of)),
        ("Kinds of routing", lambda each, of: show(experts.entropies(each), of=of)),
    ):
        st.subheader(title)
        left, right = st.columns(2, gap="large")
        with left:
            st.caption(escape(selection.run.title))
            panel(lab, "first run")
        with right:
            st.caption(escape(other.title))
            panel(renumbered, "second run")


def _pick_other(selection: Selection) -> Run | None:
    """Ask for the second run, stored in the URL; None if no run has the same classes, blocks and experts."""
    others = offered_others(selection.run, "network")
    if not others:
        st.info(
            "No other trained network has the same classes, blocks and experts. To get one, train with the same settings "
            "and another seed.",
            icon=":material/info:",
        )
        help = "Trains this network again with other random choices, and shows the new run on the Train page."
        action(st.container(), "Repeat with another seed", "casino", "seed", lambda: _repeat(selection.run), help=help)
        return None
    return pick_second(others, "other classes, blocks or experts")


def _repeat(run: Run) -> None:
    open_page("train", manager().repeat(run).id)
