"""A built-in dataset: what it holds, and its download."""

from collections.abc import Callable

import streamlit as st

from expertnet.data.builtin import BUILTIN
from expertnet.data.catalog import Listed, balance, class_counts, download_dataset
from expertnet.ui import tasks
from expertnet.ui.background import in_background
from expertnet.ui.data.images import classes_view
from expertnet.ui.shell import action
from expertnet.utils.progress import Report, ShouldStop
from expertnet.utils.text import counted, escape, size_text


def built_in_view(row: Listed, train: Callable[[str], None]) -> None:
    """Draw a built-in dataset, or the button that downloads it. `train` opens the form of a training."""
    line = st.container(horizontal=True, vertical_alignment="center")
    size = f" · {size_text(row.size)}" if row.size else ""
    line.markdown(
        f"**{escape(row.title)}** · {counted(row.images, 'image')} in {counted(row.classes, 'class', 'classes')}{size}",
        width="content",
    )
    if line.button("Train on it", icon=":material/model_training:", key=f"train {row.dataset}", type="primary"):
        train(row.dataset)
    key = ("dataset", row.dataset)
    before = tasks.find(key)
    done = before is not None and not before.running and before.result
    counts = class_counts(row.dataset)
    st.caption(f"{escape(BUILTIN[row.dataset].contents)}. {escape(balance(counts or {}))}")
    if counts is not None:
        classes_view(row.dataset, None)
        return

    def work(progress: Report, cancelled: ShouldStop) -> bool:
        return download_dataset(row.dataset, progress, cancelled)

    label = f"Download {row.title} ({size_text(row.download)})" if row.download else f"Prepare {row.title}"
    if done:  # and deleted since
        action(st.container(), label, "download", f"again {row.dataset}", lambda: tasks.start(key, work))
    elif in_background(key, label, work, unasked=0.0):
        st.rerun()
