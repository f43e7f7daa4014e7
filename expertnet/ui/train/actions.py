"""What you can do with the run in view: stop it, resume it, or start another run from it."""

from collections.abc import Callable

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from expertnet.errors import RunError
from expertnet.settings.fields import build_settings, field_of
from expertnet.settings.schema import Settings
from expertnet.store.checks import check_network, resume_fault
from expertnet.store.notes import MAX_NAME
from expertnet.store.run import Run
from expertnet.store.status import RESUMABLE_STATES, Status
from expertnet.training.manager import manager
from expertnet.training.pace import enough_epochs, more_epochs
from expertnet.training.worker import can_force_stop, force_stop
from expertnet.ui.auth import login
from expertnet.ui.export import export_button
from expertnet.ui.notify import notify_button
from expertnet.ui.shell import act, action, link
from expertnet.ui.style import room_key
from expertnet.ui.train.queue import removal
from expertnet.ui.train.values import NONE, fill, whole
from expertnet.utils.text import counted, cut, escape


def training_actions(run: Run, status: Status) -> None:
    """Draw what you can do with a run that waits or trains."""
    if status.state == "queued":
        row = st.container(horizontal=True, vertical_alignment="center", key=room_key("actions"))
        removal(row, "Remove from the queue", run, "remove")
        row.caption(escape(manager().executor.status(run)))
    elif status.state == "running":
        buttons, help = st.container(horizontal=True, key=room_key("actions")), "Keeps completed epochs."
        action(buttons, "Stop", "stop_circle", "stop", lambda: manager().stop(run), help=help, type="primary")
        ask = buttons.popover("Stop and discard", icon=":material/delete:")
        ask.write("This moves the run and all its epochs to the trash. You can restore it on the Runs page.")
        action(ask, "Discard this run", "delete", "discard", lambda: manager().stop(run, discard=True), type="primary")
        with buttons:
            notify_button()
    elif status.state == "stopping":
        with st.container(horizontal=True, vertical_alignment="center", key=room_key("actions")):
            st.caption("Stopping after the current step. Completed epochs are kept.")
        if can_force_stop(run):
            action(st.container(), "Force stop", "dangerous", "force", lambda: force_stop(run))


def ended_actions(run: Run, status: Status, see_mistakes: Callable[[], None], needs_more: bool) -> None:
    """Draw what you can do with a run that has ended. `see_mistakes` is the callback of its button.

    If the run `needs_more` steps, the first button gives it enough.
    """
    settings, resumable = run.settings(), status.state in RESUMABLE_STATES and not run.shipped
    why_not = resume_fault(run) if resumable else None
    if why_not:
        st.warning(escape(why_not), icon=":material/block:")
    if status.state == "interrupted":
        saved = f"Epoch {status.epoch} is saved. Later progress is lost." if status.epoch else "No epoch was completed."
        st.info(f"{manager().executor.ended(run)} {saved}", icon=":material/power_off:")
    if status.ended_early:
        st.caption(manager().executor.ended(run))
    buttons = st.container(horizontal=True, vertical_alignment="center", key=room_key("actions of ended"))
    if manager().executor.restarts(run):
        action(
            buttons,
            "Stop",
            "stop_circle",
            "stop",
            lambda: manager().stop(run),
            help="Ray then does not start it again.",
        )
    elif why_not:
        label = "Start a new run with these settings"
        action(buttons, label, "replay", "anew", lambda: _start_another(run, settings), type="primary")
    elif resumable:
        label = f"Resume after epoch {status.epoch}" if status.epoch else "Start again"
        if status.epoch >= settings.training.epochs:  # it ended before the test, or its status.json is lost
            label = "Evaluate on the test set"
        action(buttons, label, "play_arrow", "resume", lambda: manager().resume(run), type="primary")
    elif needs_more and (planned := _longer(run, status)):
        enough = more_epochs(planned, enough_epochs(status.steps))
        label = f"Train longer, to {counted(enough, 'epoch')}"
        action(buttons, label, "update", "enough", lambda: _train_longer(run, enough, planned), type="primary")
    if status.error_kind == "memory":
        half = max(settings.training.batch_size // 2, 1)
        smaller = settings.model_copy(update={"training": settings.training.model_copy(update={"batch_size": half})})
        label = f"Start with half the batch size ({half})"
        action(buttons, label, "replay", "half", lambda: _start_another(run, smaller), type="primary")
    try:
        check_network(run)
    except RunError as error:
        st.caption(escape(str(error)))
    else:
        with buttons:
            link("predict", "Try it", run.id)
            st.button("See mistakes", icon=":material/rule:", type="tertiary", key="mistakes", on_click=see_mistakes)
            link("experts", "See routing", run.id)
    with buttons:
        export_button(run)
    _more(buttons.popover("More", icon=":material/more_horiz:"), run, settings, status)


def _more(menu: DeltaGenerator, run: Run, settings: Settings, status: Status) -> None:
    """Train longer, repeat with another seed, or copy the settings to the form."""
    if planned := _longer(run, status):
        with menu.form("longer", border=False):
            total = whole(st.number_input("Total epochs", value=float(more_epochs(planned)), step=1.0, format="%g"))
            if st.form_submit_button("Train longer", icon=":material/update:", width="stretch", **login.reserved()):
                act(lambda: _train_longer(run, total, planned))
    label, help = "Start from these settings", "Copies the settings to the form."
    again = "Trains again with other random choices, which shows how much of the result is chance."
    action(
        menu,
        "Repeat with another seed",
        "casino",
        "seed",
        lambda: _show(manager().repeat(run)),
        width="stretch",
        help=again,
    )
    action(menu, label, "tune", "from", lambda: _copy_to_form(settings, run.preset), width="stretch", help=help)


def _longer(run: Run, status: Status) -> int:
    """Return the epochs planned for a run, or 0 if it cannot be trained longer."""
    most = field_of("training.epochs").maximum or 0
    ends_again = status.ended_early  # by the same limit
    if run.shipped or ends_again or not most > status.epoch > 0 or resume_fault(run) is not None:
        return 0
    return max(status.epoch, run.settings().training.epochs)


def _train_longer(run: Run, total: float, planned: int) -> None:
    epochs = build_settings(overrides={"training.epochs": total}).training.epochs
    if epochs <= planned:
        raise RunError(f"“Total epochs” must be greater than {planned}. You entered {epochs}.")
    manager().resume(run, epochs)


def _start_another(run: Run, settings: Settings) -> None:
    """Queue a run with these settings and the same name, and show it."""
    _show(manager().submit(settings, preset=run.preset, name=cut(run.given_name, MAX_NAME)))


def _show(run: Run) -> None:
    st.query_params["run"] = run.id


def _copy_to_form(settings: Settings, preset: str) -> None:
    fill(settings, preset)
    st.query_params["run"] = NONE
