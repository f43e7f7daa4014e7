"""The name of a new run and the button that starts or queues it."""

from __future__ import annotations

import streamlit as st

from expertnet.settings.schema import Settings
from expertnet.training.manager import manager
from expertnet.ui.auth import login
from expertnet.ui.shell import act
from expertnet.ui.train.form import FormResult
from expertnet.utils.text import escape

# In the session: how many runs it has started. The name field has it in its key, so each start empties the field.
STARTED = "started"


def start_panel(form: FormResult) -> None:
    """Draw the name, the button, and why training cannot start."""
    count = st.session_state.setdefault(STARTED, 0)
    name = st.text_input("Run name (optional)", key=f"run name {count}", placeholder="What this run tries")
    if form.problem:
        st.warning(escape(form.problem), icon=":material/block:")
    queue = manager().queue
    busy = bool(manager().training() or queue.ids() or queue.paused)
    pressed = st.button(
        "Queue this run" if busy else "Start training",
        type="primary",
        icon=":material/play_arrow:",
        width="stretch",
        key="start",
        **login.reserved(disabled=bool(form.problem)),
    )
    settings = form.settings
    if pressed and settings is not None:
        act(lambda: _start(settings, form.preset, name, show=not busy))


def _start(settings: Settings, preset: str, name: str, show: bool) -> None:
    run = manager().submit(settings, preset=preset, name=name)
    st.session_state[STARTED] += 1
    if show:
        st.query_params["run"] = run.id
