"""Show the progress of a task in the background, and its result once it is there."""

from collections.abc import Hashable
from math import inf
from typing import Any

import streamlit as st

from expertnet.training.manager import manager
from expertnet.ui import tasks
from expertnet.ui.auth import login
from expertnet.ui.shell import action, shown_error
from expertnet.utils.devices import available_threads
from expertnet.utils.text import escape, estimate

TICK = 0.5  # seconds between updates of the progress bar
GRACE = 0.3  # seconds to wait for quick tasks, for which a progress bar would only flicker


def threads() -> int:
    """Return how many threads a task may use: all, or one while a training runs, which more would slow down."""
    return 1 if manager().training() else available_threads()


def in_background(key: Hashable, label: str, work: tasks.Work, unasked: float = inf) -> Any:
    """Return the result of a task. Until it is there, show the progress and return None.

    `label` is what the button says, such as "Probe the weights". Work that takes more than `unasked` seconds starts when the
    user presses it.
    """

    def start(within: float = inf) -> tasks.Task:
        task = tasks.start(key, work, within)
        task.join(GRACE)
        return task

    task = tasks.find(key)
    if task is None and unasked:
        task = start(unasked)
    if task is None or task.too_slow:
        if task is not None:
            st.caption(
                f"{_doing(label)} takes about {estimate(task.estimate)} here, so it waits for you to start it. Meanwhile, you can use or "
                "leave this page."
            )
        action(st.container(), label, "science", f"start {key}", start)
        return None
    if not task.running:
        if task.result is None:
            st.error(escape(task.error or "The computation was stopped."), icon=":material/error:")
            action(st.container(), f"Try again: {label}", "replay", f"start {key}", start)
        return task.result

    def progress() -> None:
        if not task.running:
            st.rerun()
        st.progress(task.share, text=f"{escape(task.activity or _doing(label))}…")
        doing = _doing(label)
        sentence = f"Stop {doing[0].lower()}{doing[1:]}"
        if st.button(sentence, icon=":material/stop_circle:", key=f"stop {key}", **login.reserved()):
            with shown_error(), login.changing():
                task.stop()

    login.fragment(progress, run_every=TICK)()
    return None


def _doing(label: str) -> str:
    """Return "Probing the weights" for "Probe the weights". The verbs of all labels follow this rule."""
    verb, _, rest = label.partition(" ")
    return f"{verb.removesuffix('e')}ing {rest}"
