"""Compare: the routing of two runs side by side, their experts matched first."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from expertnet.findings import classes, experts
from expertnet.inference.predictor import load_predictor
from expertnet.routing.lab import Lab, matched
from expertnet.store.run import Run
from expertnet.store.run_store import RunStore
from expertnet.ui.experts.common import Chosen, lab_of, pick_block, show, why_no_mistakes
from expertnet.ui.run_picker import descriptions, first_choice
from expertnet.ui.shell import toast
from expertnet.utils.text import escape


def compare_view(chosen: Chosen, lab: Lab) -> None:
    """The other run has to have the same classes, blocks and experts."""
    others = {run.id: run for run in RunStore().list() if run.id != chosen.run.id and _alike(chosen, run)}
    if not others:
        st.info(
            "There is no other trained network with the same classes, blocks and experts; train these settings again with another seed.",
            icon=":material/info:",
        )
        return
    ids, asked = list(others), st.query_params.get("with")
    if asked and asked not in others:
        toast("The run that this address compares with is not here, or has other classes, blocks or experts.")
    other_id = st.selectbox(
        "Compare with",
        ids,
        index=ids.index(asked) if asked in others else first_choice(others),
        format_func=descriptions(others).__getitem__,
    )
    st.query_params["with"] = other_id
    other = others[other_id]
    checkpoint = other.checkpoints()[0]
    theirs = lab_of(Chosen(other, checkpoint, load_predictor(other, checkpoint, threads=1), chosen.split))
    if theirs is None:
        return
    renumbered = matched(theirs, lab)
    st.markdown(
        "Experts have no order that two trainings would share, so those of the second run are renumbered: in each block they are "
        "assigned to the first run's so that the classes' mean weights differ least (Hungarian method)."
    )
    block = pick_block(chosen.blocks)
    for title, make in (
        ("Mean routing by class", lambda each: classes.classes(each, block)),
        ("What routing tells about the class", classes.information),
        ("How much each expert is used", experts.utilization),
        ("Decisive, varied, or unused", experts.entropies),
        ("Mistakes", classes.mistakes),
    ):
        st.subheader(title)
        for column, run, each, mark in zip(
            st.columns(2, gap="large"), (chosen.run, other), (lab, renumbered), "ab", strict=True
        ):
            with column:
                st.caption(escape(run.title))
                finding = make(each)
                if finding is not None:
                    show(finding, mark=f"-{mark}")
                else:
                    st.markdown(why_no_mistakes(each))
    _agreement(lab, renumbered)


def _alike(chosen: Chosen, run: Run) -> bool:
    if not run.has_network():
        return False
    info, mine, theirs = run.dataset_info(), chosen.predictor.settings.model, run.settings().model
    return (
        info is not None
        and info.classes == chosen.predictor.classes
        and (mine.num_blocks, mine.num_experts) == (theirs.num_blocks, theirs.num_experts)
    )


def _agreement(lab: Lab, other: Lab) -> None:
    """How alike the two routings are once other, block by block."""
    st.subheader("How far the two agree")
    same = lab.count == other.count and bool((lab.routed.labels == other.routed.labels).all())
    profiles = (lab.profiles - other.profiles).nan_to_num(0).abs().sum(2).mean(0) / 2
    table = pd.DataFrame({"block": range(1, lab.num_blocks + 1), "difference of class means": profiles.tolist()})
    if same:
        first, second = (each.routed.routing.argmax(2) for each in (lab, other))
        table["same first expert"] = (first == second).double().mean(0).tolist()
    st.dataframe(table, hide_index=True, width="stretch", alt="How far the two runs agree, block by block")
    st.caption(
        "Total variation between the classes' mean weights (0: alike, 1: as far apart as can be), on the mean of the classes"
        + ("; and the share of test images whose first expert is the same." if same else ".")
    )
