"""The bar at the bottom of the form, in view wherever you scroll: the button that starts or queues a run, and what to expect."""

import time
from collections.abc import Callable
from typing import Any

import streamlit as st

from expertnet.settings.schema import Settings
from expertnet.training.manager import manager
from expertnet.ui.announce import TOP
from expertnet.ui.shell import action, toast
from expertnet.ui.train.expectation import expectation
from expertnet.ui.train.values import CUSTOM, OVERVIEW, TAB, current_form
from expertnet.utils.text import escape

STARTED = "started"  # in the session: how many runs it has started
LAST = "last start"  # in the session: the settings and time of the last start
TWICE = "started twice"  # in the session: settings that were started twice within SOON
SOON = 5.0  # seconds


def name_field() -> None:
    """Draw the field for the run's name, which each start empties."""
    st.text_input("Run name (optional)", key=_name_key(), placeholder="What this run tries")


def _name_key() -> str:
    return f"run name {st.session_state.setdefault(STARTED, 0)}"


def start_panel(settings: Settings | None, problem: str) -> Callable[[], bool]:
    """Draw the button, what to expect, and why training cannot start. Returns a test for news on what to expect."""
    queue = manager().queue
    busy = bool(manager().training() or queue.ids() or queue.paused)

    def submit(again: bool = False) -> None:
        if settings is None:
            return
        last, when = st.session_state.get(LAST, (None, 0.0))
        if last == settings and time.monotonic() - when < SOON and not again:
            st.session_state[TWICE] = settings
            return
        run = manager().submit(settings, preset=form.preset, name=st.session_state.get(_name_key(), ""))
        st.session_state[STARTED] += 1
        st.session_state[LAST], st.session_state[TWICE] = (settings, time.monotonic()), None
        if busy:
            toast(f"{escape(run.title)} waits in the queue.")
        else:
            st.query_params["run"] = run.id
            st.session_state[TOP] = st.session_state[STARTED]
            st.session_state[TAB] = OVERVIEW

    form = current_form()
    empty = form.source == CUSTOM and not form.dataset  # nothing is wrong yet
    with st.bottom:
        if problem and not empty:
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
            return expectation(row, settings, form, may_time=not problem)
        if empty:
            row.markdown(f":small[{escape(problem)}]", width="content")
    return lambda: False
