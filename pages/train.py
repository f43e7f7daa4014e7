"""Set hyper-parameters, start training, watch it."""

import streamlit as st

from expertnet.errors import RunError, UserError
from expertnet.settings.fields import with_labels
from expertnet.settings.schema import Settings
from expertnet.store.run import Run
from expertnet.store.run_store import RunStore
from expertnet.store.status import ACTIVE_STATES
from expertnet.store.trash import trashed
from expertnet.training.manager import manager, refuse_what_cannot_start
from expertnet.ui import shell
from expertnet.ui.auth import login
from expertnet.ui.train.form import remember, settings_form
from expertnet.ui.train.live import live_view
from expertnet.ui.train.queue import queue_panel
from expertnet.ui.train.summary import summary
from expertnet.utils.text import escape

NO_RUN = "There is no run at this address: it was deleted, or mistyped."

shell.require()


def watched() -> Run | None:
    """The run in the address, or else the one that trains; so a reload or a second tab shows the same."""
    store = RunStore()
    asked = st.query_params.get("run")
    if asked == "none":
        return None
    if asked:
        try:
            return store.get(asked)
        except RunError:
            binned = any(run.id == asked for run in trashed(store))
            said = "This run is in the trash; the Runs page can bring it back." if binned else NO_RUN
            st.info(said, icon=":material/info:")
            st.query_params["run"] = "none"
            return None
    run = manager().training()
    if run is not None:
        st.query_params["run"] = run.id  # so that it stays in view when it ends
    return run


def start(settings: Settings | None, preset: str, why_not: str) -> None:
    """The name, the button, and why it cannot be pressed."""
    place = st.session_state.setdefault("started", 0)  # a started run takes its name along
    name = st.text_input("Name of the run (optional)", key=f"run name {place}", placeholder="what you try in this run")
    if why_not:
        st.warning(escape(why_not), icon=":material/block:")
    busy = bool(manager().training() or manager().queue.ids() or manager().queue.paused)
    label = "Add to the queue" if busy else "Start training"
    pressed = st.button(
        label,
        type="primary",
        icon=":material/play_arrow:",
        width="stretch",
        key="start",
        **login.reserved(disabled=bool(why_not)),
    )
    if pressed and settings is not None:
        shell.act(lambda: begin(settings, preset, name, not busy))


def begin(settings: Settings, preset: str, name: str, show: bool) -> None:
    run = manager().submit(settings, preset=preset, name=name)
    st.session_state["started"] += 1
    if show:
        st.query_params["run"] = run.id


left, right = st.columns([2, 3], gap="large")
with right:
    run = watched()
with left:
    st.header("Train a network of experts")
    settings, preset, why_not = settings_form()
    if settings is not None:
        try:
            refuse_what_cannot_start(settings)
        except UserError as error:
            why_not = str(error)
    why_not = with_labels(why_not)
    start(settings, preset, why_not)
    queue_panel()
with right:
    if run is not None:
        live_view(run)
        label, icon = ("Close this view", "close") if run.state in ACTIVE_STATES else ("Set up another run", "add")
        if st.button(label, icon=f":material/{icon}:", key="new"):
            st.query_params["run"] = "none"
            st.rerun()
        st.divider()
    st.subheader("What these settings make")
    if settings is not None:
        summary(settings)
    else:
        st.warning(escape(why_not), icon=":material/block:")
remember()
