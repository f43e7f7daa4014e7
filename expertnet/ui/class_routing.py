"""How the classes of a run's test set are routed, computed once a checkpoint, with progress.

In this module: test_split, class_routing.
"""

from __future__ import annotations

import streamlit as st

from expertnet import charts, routing
from expertnet.config import DataSettings
from expertnet.datasets import (
    BUILTIN,
    DatasetError,
    Split,
    dataset_title,
    is_ready,
    load_test_split,
    refuse_if_missing,
)
from expertnet.inference import kept_routing, route_test_set
from expertnet.runs import Checkpoint, Run
from expertnet.ui.shell import escape, progress_bar


def test_split(data: DataSettings) -> Split | None:
    """The test set, or None after saying that it is not there, with an offer to fetch it where that can be done."""
    title, spec = escape(dataset_title(data.dataset)), BUILTIN.get(data.dataset)
    if not is_ready(data) and (spec is None or spec.download_bytes):
        missing = f"The pictures of {title} are not on this machine. Uploaded pictures can be looked at without them."
        try:
            refuse_if_missing(data)
        except DatasetError:
            st.info(missing, icon=":material/folder_off:")
            return None
        st.info(missing, icon=":material/download:")
        if not st.button("Get the test set", icon=":material/download:"):
            return None
    with progress_bar() as show:
        return load_test_split(data, progress=show)[0]


def class_routing(run: Run, checkpoint: Checkpoint, split: Split | None, classes: tuple[str, ...]) -> None:
    """Mean routing weights by class, a block at a time; without the pictures, from what the run's folder keeps of them."""
    if split is None:
        routed = kept_routing(run, checkpoint)
        if routed is None:
            st.caption("Mean routing by class needs the test set.")
            return
    else:
        with progress_bar() as show:
            routed = route_test_set(run, split, checkpoint, show, threads=1)
    table = routing.class_table(routed.routing, routed.labels, classes)
    blocks = sorted(table["block"].unique().tolist())
    block = st.select_slider("Block", blocks, value=blocks[-1], key="block") if len(blocks) > 1 else 1
    st.altair_chart(charts.class_heatmap(table, int(block)), width="stretch", key="classes")
    st.caption(f"Means of the {len(routed.labels):,} test pictures.")
