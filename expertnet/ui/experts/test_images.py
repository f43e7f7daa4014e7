"""Load the test set of a run, or offer to download or read it."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import streamlit as st

from expertnet.data.builtin import BUILTIN
from expertnet.data.datasets import dataset_title, find_cached, is_missing
from expertnet.data.info import find_own
from expertnet.data.splits import Split
from expertnet.inference.routing_cache import load_own_test_set
from expertnet.store.run import Run
from expertnet.ui.auth import login
from expertnet.ui.shell import progress_bar, shown_error
from expertnet.utils.text import escape


def test_split(run: Run) -> Split | None:
    """Return a run's own test set. If it is not on this machine, say so, offer to get it if possible, and return None."""
    data, own = run.settings().data, run.dataset_info()
    title, spec = escape(dataset_title(data.dataset)), BUILTIN.get(data.dataset)
    permission: AbstractContextManager[None] = nullcontext()  # showing images that are cached needs none
    is_here = (own and find_own(own)) or find_cached(data) or (spec and not spec.download_bytes)
    if not is_here:
        missing = f"The images of {title} are not on this machine. You can still upload images."
        if is_missing(data):
            st.info(missing, icon=":material/folder_off:")
            return None
        if spec is None:
            st.info(f"The images of {title} have not been read yet.", icon=":material/folder_open:")
        else:
            st.info(missing, icon=":material/download:")
        label = "Download the images" if spec else "Read the images"
        if not st.button(label, icon=":material/download:", **login.reserved()):
            return None
        permission = login.changing()
    with shown_error(), permission, progress_bar() as show:
        return load_own_test_set(run, show)
    return None
