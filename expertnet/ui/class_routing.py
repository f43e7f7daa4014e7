"""How the classes of a run's test set are routed, computed once a checkpoint, with progress.

In this module: test_split, class_routing.
"""

from __future__ import annotations

import streamlit as st

from expertnet import charts, routing
from expertnet.config import DataSettings
from expertnet.datasets import BUILTIN, Split, dataset_title, is_ready, load_test_split
from expertnet.inference import split_routing
from expertnet.runs import Run
from expertnet.ui.shell import escape, progress_bar


def test_split(data: DataSettings) -> Split | None:
    """The test set, or None after offering to fetch it where that takes a download or a long reading."""
    if not is_ready(data) and BUILTIN.get(data.dataset, BUILTIN["svhn"]).download_bytes:
        st.info(
            f"The pictures of {escape(dataset_title(data.dataset))} are not on this machine. Uploaded pictures can be "
            "looked at without them; the test set cannot.",
            icon=":material/download:",
        )
        if not st.button("Get the test set", icon=":material/download:"):
            return None
    with progress_bar() as show:
        return load_test_split(data, progress=show)[0]


def class_routing(run: Run, split: Split, classes: tuple[str, ...]) -> None:
    """Mean routing weights by class, a block at a time."""
    with progress_bar() as show:
        activity = "Routing the test pictures, once for this checkpoint"
        weights = split_routing(run, split, progress=lambda share: show(activity, share), threads=1)
    table = routing.class_table(weights, split.labels, classes)
    blocks = sorted(table["block"].unique().tolist())
    block = st.select_slider("Block", blocks, value=blocks[-1], key="block") if len(blocks) > 1 else 1
    st.altair_chart(charts.class_heatmap(table, int(block)), width="stretch", key="classes")
    st.caption(f"Means of the {len(split):,} test pictures.")
