"""The bar at the bottom of the form, in view wherever you scroll: the button that starts or queues a run, and what to expect."""

import time
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from expertnet.settings.fields import build_settings
from expertnet.settings.schema import Settings
from expertnet.store.index import READABLE, open_index
from expertnet.training.manager import manager
from expertnet.training.pace import FEW_STEPS, NEWEST, expected_seconds, fitted, step_count, training_images
from expertnet.ui.shell import action, duration, toast
from expertnet.ui.train.values import CUSTOM, Form, current_form, put
from expertnet.utils.text import counted, escape

STARTED = "started"  # in the session: how many runs it has started
LAST = "last start"  # in the session: the settings and time of the last start
TWICE = "started twice"  # in the session: settings that were started twice within SOON
SOON = 5.0  # seconds
STEP = "A step changes the weights once, to fit one batch of images better"


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
        run = manager().submit(settings, preset=form.preset, name=st.session_state.get(_name_key(), ""))
        st.session_state[STARTED] += 1
        st.session_state[LAST], st.session_state[TWICE] = (settings, time.monotonic()), None
        if busy:
            toast(f"{escape(run.title)} waits in the queue.")
        else:
            st.query_params["run"] = run.id

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
            _expectation(row, settings, form)
        elif empty:
            row.markdown(f":small[{escape(problem)}]", width="content")


def _expectation(row: DeltaGenerator, settings: Settings, form: Form) -> None:
    """Say how many steps a run takes and, if known from an earlier run, how long. Offers more steps if they are too few."""
    images = training_images(settings)
    if images is None:
        return
    steps, training = step_count(settings, images), settings.training
    preset = build_settings(form.preset, settings.data.dataset).training
    # presets suit the built-in datasets: `fast` recognizes 99% of the digits after 10 steps
    suits = form.source != CUSTOM and (training.batch_size, training.epochs) == (preset.batch_size, preset.epochs)
    if steps >= FEW_STEPS or suits:
        seconds = expected_seconds(settings, images, open_index(manager().store).rows(READABLE, limit=NEWEST))
        time_needed = f" · about {_about(seconds)} on this computer" if seconds else ""
        row.markdown(f":small[{counted(steps, 'step')}{time_needed}]", width="content", help=f"{STEP}.")
        return
    size, epochs = fitted(settings.model_copy(update={"training": preset}), images)
    row.markdown(
        f":small[:material/warning: Only {counted(steps, 'step')} in all, too few to learn much. {STEP}.]",
        width="content",
    )
    row.button(
        f"Use batch size {size} and {counted(epochs, 'epoch')}",
        on_click=put,
        kwargs={"batch_size": size, "epochs": epochs},
        key="more steps",
    )


def _about(seconds: float) -> str:
    """Return a duration no more exact than an estimate is."""
    if seconds < 90:
        return f"{max(round(seconds, -1), 10):.0f} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else duration(round(seconds / 600) * 600)
