"""The bar at the bottom of the form, in view wherever you scroll: the button that starts or queues a run, and what to expect."""

import time
from typing import Any

import streamlit as st

from expertnet.settings.schema import Settings
from expertnet.store.index import run_rows
from expertnet.training.manager import manager
from expertnet.training.pace import FEW_STEPS, expected_seconds, step_count, training_images
from expertnet.ui.shell import action, duration, toast
from expertnet.ui.train.values import current_form
from expertnet.utils.text import counted, escape

STARTED = "started"  # in the session: how many runs it has started
LAST = "last start"  # in the session: the settings and time of the last start
TWICE = "started twice"  # in the session: settings that were started twice within SOON
SOON = 5.0  # seconds


def name_field() -> None:
    """Draw the field for the run's name, which each start empties."""
    st.text_input("Run name (optional)", key=_name_key(), placeholder="What this run tries")


def _name_key() -> str:
    return f"run name {st.session_state.setdefault(STARTED, 0)}"


def start_panel(settings: Settings | None, problem: str) -> None:
    """Draw the button, what to expect, and why training cannot start."""
    queue = manager().queue
    busy = bool(manager().training() or queue.ids() or queue.paused)

    def submit(again: bool = False) -> None:
        if settings is None:
            return
        last, when = st.session_state.get(LAST, (None, 0.0))
        if last == settings and time.monotonic() - when < SOON and not again:
            st.session_state[TWICE] = settings
            return
        run = manager().submit(settings, preset=current_form().preset, name=st.session_state.get(_name_key(), ""))
        st.session_state[STARTED] += 1
        st.session_state[LAST], st.session_state[TWICE] = (settings, time.monotonic()), None
        if busy:
            toast(f"{escape(run.title)} waits in the queue.")
        else:
            st.query_params["run"] = run.id

    with st.bottom:
        if problem:
            st.warning(escape(problem), icon=":material/block:")
        if settings is not None and st.session_state.get(TWICE) == settings:
            row = st.container(horizontal=True, vertical_alignment="center")
            row.caption("These settings were started a moment ago.", width="content")
            action(row, "Queue them again", "add", "start again", lambda: submit(again=True))
        row = st.container(horizontal=True, vertical_alignment="center")
        label = "Queue this run" if busy else "Start training"
        look: dict[str, Any] = {"type": "primary", "disabled": bool(problem)}
        action(row, label, "play_arrow", "start", submit, **look)
        if settings is not None:
            row.markdown(f":small[{_expected(settings)}]", width="content")


def _expected(settings: Settings) -> str:
    """Say how many steps a run takes and, if an earlier one tells, how long."""
    images = training_images(settings)
    if images is None:
        return ""
    steps = step_count(settings, images)
    if steps < FEW_STEPS:
        return (
            f":material/warning: Only {counted(steps, 'step')} in all, which teach a network little. "
            "Use more epochs or a smaller batch size."
        )
    seconds = expected_seconds(settings, images, run_rows(manager().store))
    return counted(steps, "step") + (f" · about {_about(seconds)} on this computer" if seconds else "")


def _about(seconds: float) -> str:
    """Return a duration no more exact than an estimate is."""
    if seconds < 90:
        return f"{max(round(seconds, -1), 10):.0f} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else duration(round(seconds / 600) * 600)
