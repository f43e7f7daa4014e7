"""The run in view: which one it is, and its numbers and charts while it waits or trains."""

from collections.abc import Callable

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from expertnet.data.datasets import dataset_title
from expertnet.errors import RunError
from expertnet.settings.url import is_form_key
from expertnet.store.checks import find_damage
from expertnet.store.index import ENDED, OWN, READABLE, open_index
from expertnet.store.run import Run
from expertnet.store.run_store import RunStore
from expertnet.store.status import ACTIVE_STATES, Status
from expertnet.training.manager import manager
from expertnet.ui.auth import login
from expertnet.ui.run_picker import CHOSEN
from expertnet.ui.shell import missing, shown_error, toast
from expertnet.ui.train.actions import training_actions
from expertnet.ui.train.ended import ended_view
from expertnet.ui.train.overview import curves, live_metrics, live_progress
from expertnet.ui.train.values import NONE, SHOWN
from expertnet.utils.text import counted, escape, time_text

TICK, CURVES_TICK, IDLE_TICK = 2.0, 5.0, 5.0  # seconds; each tick takes a little time from a training on the CPU


def run_in_view() -> Run | None:
    """Return the run to show, or None for the form. Reloads and other tabs then show the same.

    It is the run in the URL, else the one in training. Else, unless the URL has settings, it is what was in view last, at first
    the newest run that has ended.
    """
    given = st.query_params.get("run")
    asked = given or _last_shown()
    run = _named(asked) if asked and asked != NONE else None
    if run and given:
        st.session_state[CHOSEN] = run.id
    st.session_state[SHOWN] = run.id if run else NONE if asked else ""
    return run


def _last_shown() -> str:
    """Return the id of the run to show if the URL names none, NONE for the form, or "" if there is neither."""
    training, shown = manager().training(), st.session_state.get(SHOWN, "")
    if training:
        return shown if any(run.id == shown for run in training) else training[0].id
    if any(is_form_key(name) for name in st.query_params):
        return ""
    index = open_index(RunStore())
    if shown == NONE or index.count(id=[shown]):
        return shown
    return next((row.id for row in index.rows(OWN, READABLE, ENDED, limit=1)), "")


def _named(run_id: str) -> Run | None:
    """Return the run with an id, or say that there is none."""
    store = RunStore()
    try:
        return store.get(run_id)
    except RunError:
        toast(missing(run_id, store))  # which is visible wherever the page is scrolled to
        st.query_params["run"] = NONE
        return None


def live_view(run: Run, tools: DeltaGenerator, queue_changed: Callable[[], bool]) -> None:
    """Draw a run, with a button in `tools` that brings the form back, and watch the run and the queue.

    A tick sends the progress alone, or the metrics and what charts have changed, and nothing once the run has ended. Another
    tab may still resume it.
    """
    drawn, title = run.status(), escape(run.title)

    def look() -> Status:
        if not run.path.is_dir():  # discarded
            st.query_params["run"] = NONE
            toast(f"{title} is in the trash. You can restore it on the Runs page.")
            st.rerun()
        status = run.status()
        if status.state != drawn.state or queue_changed():
            st.rerun()  # once, for the buttons and the queue
        return status

    def numbers() -> None:
        with shown_error():
            live_progress(look())

    def charts() -> None:
        with shown_error():
            live_metrics(run)
            curves(run, live=True)

    if tools.button("New run", icon=":material/add:", key="new"):  # a training continues
        st.query_params["run"] = NONE
        st.rerun()
    with shown_error():
        _head(run)
        if drawn.active:
            with st.container():
                training_actions(run, drawn)
            with st.container():  # one element, whose place the tabs take: fewer moves while the page changes
                login.fragment(numbers, run_every=TICK)()
                login.fragment(charts, run_every=CURVES_TICK)()
        else:
            ended_view(run, drawn)
            login.fragment(look, run_every=IDLE_TICK)()


def _head(run: Run) -> None:
    settings = run.settings()
    damage = find_damage(run) if run.state not in ACTIVE_STATES else None  # a running one may be between two writes
    if damage and damage != run.status().error:
        st.warning(escape(damage), icon=":material/healing:")
    model = settings.model
    widths = " / ".join(map(str, dict.fromkeys(model.block_widths)))
    where = f" in {', '.join(map(str, model.routed_blocks))} only" if model.expert_blocks else ""
    st.caption(
        f"{escape(dataset_title(settings.data.dataset))} · {counted(model.num_blocks, 'block')} x "
        f"{counted(model.num_experts, 'expert')}{where}, {widths} channels · {escape(time_text(run.created))}"
    )
    if settings.watches_test:
        st.info(
            "This run has no validation images. Its curves are measured on test images, and its accuracy on the whole test set.",
            icon=":material/info:",
        )
