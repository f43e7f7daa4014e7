"""Get the test images of a run, or offer to read or download them."""

from contextlib import AbstractContextManager, nullcontext

import streamlit as st

from expertnet.data.builtin import BUILTIN
from expertnet.data.catalog import class_counts, namesake
from expertnet.data.datasets import dataset_title, is_missing
from expertnet.data.splits import Split
from expertnet.inference.routing_cache import has_own_test_set, load_own_test_set
from expertnet.store.run import Run
from expertnet.ui.auth import login
from expertnet.ui.shell import link, progress_bar, shown_error
from expertnet.utils.text import escape


def own_test_set(run: Run) -> Split | None:
    """Return a run's own test set. If it is not on this computer, say so, offer to get it if possible, and return None."""
    data = run.settings().data
    title, spec = escape(dataset_title(data.dataset)), BUILTIN.get(data.dataset)
    permission: AbstractContextManager[None] = nullcontext()  # showing images that are cached needs none
    if not has_own_test_set(run):
        unread = spec is None and not is_missing(data)
        where = "have not been read yet" if unread else "are not on this computer"
        info = run.dataset_info()
        original = namesake(data.dataset, info.classes) if is_missing(data) and info else None
        instead = f" You can try the network on those of {BUILTIN[original].title} instead." if original else ""
        st.info(f"The images of {title} {where}.{instead}", icon=":material/folder_off:")
        if original and class_counts(original) is None:
            link("data", f"Get {BUILTIN[original].title} on the Data page", dataset=original)
        label = "Read the images" if unread else "Download the images"
        key = f"get images {run.id}"  # as two runs are compared on one page
        if is_missing(data) or not st.button(label, icon=":material/download:", key=key, **login.reserved()):
            return None
        permission = login.changing()
    with shown_error(), permission, progress_bar() as show:
        return load_own_test_set(run, show)
    return None
