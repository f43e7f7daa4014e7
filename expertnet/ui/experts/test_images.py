"""The images of a run's test set, where they are on this machine.

In this module: test_split.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import streamlit as st

from expertnet.data.builtin import BUILTIN
from expertnet.data.datasets import cached_test_split, dataset_title, is_cached, is_missing
from expertnet.data.splits import Split
from expertnet.inference.routing_cache import load_own_test_set
from expertnet.store.run import Run
from expertnet.ui.auth import login
from expertnet.ui.shell import progress_bar, shown_error
from expertnet.utils.text import escape


def test_split(run: Run) -> Split | None:
    """A run's test set, or None after saying why it is not there, with an offer to fetch it where that can be done."""
    data = run.settings().data
    title, spec = escape(dataset_title(data.dataset)), BUILTIN.get(data.dataset)
    allowed: AbstractContextManager[None] = nullcontext()  # images that are at hand are there to be looked at
    info = run.dataset_info()
    here = info is not None and cached_test_split(info) is not None
    if not here and not is_cached(data) and (spec is None or spec.download_bytes):
        missing = f"The images of {title} are not on this machine. Uploaded images can be looked at without them."
        if is_missing(data):
            st.info(missing, icon=":material/folder_off:")
            return None
        if spec is None:
            st.info(f"The images of {title} have to be read first.", icon=":material/folder_open:")
        else:
            st.info(missing, icon=":material/download:")
        if not st.button("Get the test set" if spec else "Read them", icon=":material/download:", **login.reserved()):
            return None
        allowed = login.changing()
    with shown_error(), allowed, progress_bar() as show:
        split, same = load_own_test_set(run, show)
        if not same:
            st.warning(
                f"The images of {title} have changed since this network was trained on them; what is shown is of the present ones.",
                icon=":material/warning:",
            )
        return split
    return None
