"""The pictures of a run's test set, where they are on this machine.

In this module: test_split.
"""

from __future__ import annotations

import streamlit as st

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
