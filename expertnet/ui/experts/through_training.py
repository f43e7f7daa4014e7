"""Through training: how the routing came to be, from the run's history; live while it trains."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import streamlit as st

from expertnet.findings import classes, experts, through_training
from expertnet.findings.finding import Finding
from expertnet.inference.predictor import load_predictor
from expertnet.routing.lab import Lab
from expertnet.store.run import Run
from expertnet.store.status import ACTIVE_STATES
from expertnet.ui.auth import login
from expertnet.ui.experts.common import Chosen, lab_of, pick_block, show
from expertnet.utils.files import version_of

LOOK_EVERY = 5.0  # seconds


def through_training_view(chosen: Chosen, lab: Lab | None) -> None:
    run = chosen.run

    def look() -> None:
        history = run.path / "metrics.jsonl"
        version = version_of(history) if history.is_file() else ()
        found = _curves(run.path, version)
        if not found:
            st.info("The history of this run holds no routing figures; they come with the first whole epoch.")
            return
        with st.grid(2, min_column_width=420):
            for finding in found:
                with st.container():
                    show(finding)
            with st.container():
                show(_utilization(run.path, version, pick_block(chosen.blocks)))

    login.fragment(look, run_every=LOOK_EVERY if run.state in ACTIVE_STATES else None)()
    _kept(chosen)


@lru_cache(maxsize=32)
def _curves(path: Path, version: tuple[int, ...]) -> list[Finding]:
    """Made once an epoch, for every open tab."""
    return through_training.through_training(Run(path).metrics(), Run(path).watched_images)


@lru_cache(maxsize=64)
def _utilization(path: Path, version: tuple[int, ...], block: int) -> Finding | None:
    return through_training.training_utilization(Run(path).metrics(), block, Run(path).watched_images)


def _kept(chosen: Chosen) -> None:
    """The routing of the test set with the weights of the epochs that were kept."""
    st.subheader("Weights of earlier epochs")
    kept = chosen.run.kept_epochs()
    if not kept:
        st.caption("This run kept none; the setting “Save a checkpoint every” keeps them.")
        return
    epochs = list(kept)
    epoch = (
        st.select_slider("Epoch", epochs, value=epochs[-1], key="epoch", bind="query-params")
        if len(epochs) > 1
        else epochs[0]
    )
    name = kept[int(epoch)]
    then = Chosen(chosen.run, name, load_predictor(chosen.run, name, threads=1), chosen.split)
    lab = lab_of(then)
    if lab is not None:
        left, right = st.columns(2, gap="large")
        with left:
            show(experts.utilization(lab))
        with right:
            show(classes.classes(lab, pick_block(chosen.blocks, "kept block")))
