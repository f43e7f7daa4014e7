"""Show the progress of a task in the background, and its result once it is there."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import streamlit as st

from expertnet.training.manager import manager
from expertnet.ui import tasks
from expertnet.ui.auth import login
from expertnet.ui.shell import shown_error
from expertnet.utils.devices import available_threads
from expertnet.utils.text import escape

TICK = 0.5  # seconds between updates of the progress bar
GRACE = 0.3  # seconds to wait for quick tasks, for which a progress bar would only flicker


def threads() -> int:
    """Return how many threads a task may use: all, or one while a training runs, which more would slow down."""
    return 1 if manager().training() else available_threads()


def in_background(key: Hashable, label: str, work: tasks.Work) -> Any:
    """Return the result of a task. Until it is there, show the progress and return None."""
    task = tasks.find(key)
    if task is None:
        task = tasks.start(key, work)
        task.join(GRACE)
    if not task.running and task.result is not None:
        return task.result
    if not task.running:
        st.error(escape(task.error or "The computation was stopped."), icon=":material/error:")
        if not st.button("Try again", icon=":material/replay:", key=f"again {key}", **login.reserved()):
            return None
        with login.changing():
            task = tasks.start(key, work)
    running = task

    def progress() -> None:
        if not running.running:
            st.rerun()
        st.progress(running.share, text=f"{escape(running.activity or label)}…")
        if st.button("Stop", icon=":material/stop_circle:", key=f"stop {key}", **login.reserved()):
            with shown_error(), login.changing():
                running.stop()

    login.fragment(progress, run_every=TICK)()
    return None
