"""What can be done with the run in view: stop it, go on with it, or make another one from it.

In this module: training_actions.
"""

from __future__ import annotations

import re
from typing import Any

import streamlit as st

from expertnet.errors import RunError
from expertnet.settings.fields import build_settings, setting_fields
from expertnet.settings.schema import Settings
from expertnet.store.notes import NAME
from expertnet.store.run import Run
from expertnet.store.status import RESUMABLE_STATES, Status
from expertnet.training.manager import manager
from expertnet.training.worker import can_be_forced, end_by_force
from expertnet.ui.auth import login
from expertnet.ui.shell import act, link
from expertnet.ui.train.form import fill, whole
from expertnet.utils.text import counted, cut, escape


def training_actions(run: Run) -> None:
    status = run.status()
    state = status.state
    if state == "queued":
        paused = "It waits in the queue, which is paused: nothing is begun until you press Go on there."
        st.caption(paused if manager().queue.paused else "It waits in the queue, where it can be moved or removed.")
    elif state == "running":
        _stopping(run)
    elif state == "stopping":
        st.caption("Stopping: the step in progress is finished first; the last whole epoch is kept.")
        if can_be_forced(run) and st.button(
            "End it by force", icon=":material/dangerous:", key="force", **login.reserved()
        ):
            act(lambda: end_by_force(run))
    else:
        _ended(run, status)


def _stopping(run: Run) -> None:
    buttons = st.container(horizontal=True)
    if buttons.button("Stop, keep the last whole epoch", icon=":material/stop_circle:", key="stop", **login.reserved()):
        act(lambda: manager().stop(run))
    with buttons.popover("Stop and discard", icon=":material/delete:"):
        st.write("The run goes to the trash with all of its epochs; the Runs page can bring it back.")
        if st.button("Discard this run", type="primary", key="discard", **login.reserved()):
            act(lambda: manager().stop(run, discard=True))


def _ended(run: Run, status: Status) -> None:
    settings, resumable = run.settings(), status.state in RESUMABLE_STATES and not run.shipped
    why_not = run.resume_damage() if resumable else None
    if why_not:
        st.warning(escape(why_not), icon=":material/block:")
    if status.state == "interrupted":
        st.info(
            f"Its process ended before the training did: it was killed, or the app or the machine was stopped. "
            f"Epoch {status.epoch} is safe; what came after it is lost.",
            icon=":material/power_off:",
        )
    buttons = st.container(horizontal=True, vertical_alignment="center")
    if why_not:
        if buttons.button(
            "Start anew with its settings", icon=":material/replay:", type="primary", key="anew", **login.reserved()
        ):
            act(lambda: _another(run, settings))
    elif resumable:
        label = f"Go on after epoch {status.epoch}" if status.epoch else "Start it again"
        if status.epoch >= settings.training.epochs:  # it was cut off in between, or its status.json is lost
            label = "Measure it on the test set"
        if buttons.button(label, icon=":material/play_arrow:", type="primary", key="resume", **login.reserved()):
            act(lambda: manager().resume(run))
    if status.error_kind == "memory":
        half = _with(settings, batch_size=max(settings.training.batch_size // 2, 1))
        label = f"Again with half the batch ({half.training.batch_size})"
        if buttons.button(label, icon=":material/replay:", type="primary", key="half", **login.reserved()):
            act(lambda: _another(run, half))
    try:
        run.check_network()
    except RunError as error:
        st.caption(escape(str(error)))
    else:
        with buttons:
            link("experts", "See its routing", run.id)
        with buttons:
            link("predict", "Classify images", run.id)
    with buttons.popover("More", icon=":material/more_horiz:"):
        _more(run, settings, status)
    log = run.log_tail(20)
    if log:
        with st.expander("Log", expanded=status.state == "failed"):
            st.code(log, language=None, wrap_lines=True)


def _more(run: Run, settings: Settings, status: Status) -> None:
    """Train longer, repeat with another seed, or take the settings over into the form."""
    if not run.shipped and _most_epochs() > status.epoch > 0 and run.resume_damage() is None:
        done, most = max(status.epoch, settings.training.epochs), _most_epochs()
        with st.form("longer", border=False):
            offered = float(min(done + max(done // 2, 1), most))
            epochs = whole(st.number_input("Epochs in all", value=offered, step=1.0, format="%g"))
            if st.form_submit_button("Train longer", icon=":material/update:", width="stretch", **login.reserved()):
                act(lambda: _longer(run, epochs, done))
    if st.button("Repeat with another seed", icon=":material/casino:", width="stretch", key="seed", **login.reserved()):
        act(lambda: _again(run, settings))
    if st.button(
        "Start from these settings",
        icon=":material/tune:",
        width="stretch",
        key="from",
        **login.reserved(help="Fills the form in."),
    ):
        act(lambda: _fill_in(settings, run.preset))


def _longer(run: Run, epochs: float, done: int) -> None:
    most = build_settings(overrides={"training.epochs": epochs}).training.epochs
    if most <= done:
        raise RunError(f"It is to have {counted(done, 'epoch')} already; give more to train it longer.")
    manager().resume(run, most)


def _most_epochs() -> int:
    return int(next(field.maximum for field in setting_fields() if field.key == "training.epochs") or 0)


def _with(settings: Settings, **training: Any) -> Settings:
    return settings.model_copy(update={"training": settings.training.model_copy(update=training)})


def _another(run: Run, settings: Settings, name: str | None = None) -> None:
    """Queues a run with these settings, of the same name unless another is given, and turns to it."""
    name = cut(run.given_name, NAME) if name is None else name
    st.query_params["run"] = manager().submit(settings, preset=run.preset, name=name).id


def _again(run: Run, settings: Settings) -> None:
    """The same with the next seed, which its name says where it has one."""
    seed = settings.seed + 1
    name, ending = re.sub(r", seed \d+$", "", run.given_name), f", seed {seed}"
    name = name and cut(name, NAME - len(ending)) + ending
    _another(run, settings.model_copy(update={"seed": seed}), name)


def _fill_in(settings: Settings, preset: str) -> None:
    fill(settings, preset)
    st.query_params["run"] = "none"
