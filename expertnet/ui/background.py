"""Show the progress of a task in the background, and its result once it is there."""

from collections.abc import Hashable
from typing import Any

import streamlit as st

from expertnet.training.manager import manager
from expertnet.ui import tasks
from expertnet.ui.auth import login
from expertnet.ui.shell import action, shown_error
from expertnet.utils.devices import available_threads
from expertnet.utils.text import escape

TICK = 0.5  # seconds between updates of the progress bar
GRACE = 0.3  # seconds to wait for quick tasks, for which a progress bar would only flicker


def threads() -> int:
    """Return how many threads a task may use: all, or one while a training runs, which more would slow down."""
    return 1 if manager().training() else available_threads()


def in_background(key: Hashable, label: str, work: tasks.Work, ask: bool = False) -> Any:
    """Return the result of a task. Until it is there, show the progress and return None.

    With `ask`, it starts when the user presses a button.
    """

    def start() -> tasks.Task:
        task = tasks.start(key, work)
        task.join(GRACE)
        return task

    found = tasks.find(key)
    if found is not None and not found.running and found.result is None:
        st.error(escape(found.error or "The computation was stopped."), icon=":material/error:")
        action(st.container(), f"Try again: {label}", "replay", f"start {key}", start)
        return None
    if found is None and ask:
        action(st.container(), label, "science", f"start {key}", start)
        return None
    task = found or start()
    if not task.running and task.result is not None:
        return task.result

    def progress() -> None:
        if not task.running:
            st.rerun()
        st.progress(task.share, text=f"{escape(task.activity or label)}…")
        if st.button(f"Stop: {label}", icon=":material/stop_circle:", key=f"stop {key}", **login.reserved()):
            with shown_error(), login.changing():
                task.stop()

    login.fragment(progress, run_every=TICK)()
    return None
