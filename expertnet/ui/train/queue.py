"""The queue of runs. It checks the store every few seconds for runs that other tabs and command lines start or queue."""

from collections.abc import Callable

import streamlit as st

from expertnet.store.index import row_labels, rows_of
from expertnet.store.run import Run
from expertnet.training.manager import manager
from expertnet.ui.auth import login
from expertnet.ui.shell import action
from expertnet.utils.text import counted, cut, escape

LOOK_EVERY = 2.0  # seconds
LONGEST = 40  # characters of a title


def queue_panel() -> Callable[[], bool]:
    """Draw the queue unless it is empty. Returns a test for changes of it and of the run in training."""
    drawn = _now()
    waiting, paused = manager().waiting(), manager().queue.paused
    if waiting or paused:
        head = st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute")
        head.markdown("**Queue (paused)**" if paused else "**Queue**")
        label, icon = ("Resume queue", "play_arrow") if paused else ("Pause queue", "pause")
        help = "A paused queue starts no new run. A run in training continues."
        action(head, label, icon, "pause", lambda: manager().pause(not paused), help=help)
    labels = row_labels(rows_of(waiting), LONGEST)
    for place, run in enumerate(waiting):
        if run.has_settings:
            _entry(place, run, labels[run.id])

    return lambda: _now() != drawn


def watch_queue(changed: Callable[[], bool]) -> None:
    """Draw the page again once the queue has changed."""

    def look() -> None:
        if changed():
            st.rerun()

    login.fragment(look, run_every=LOOK_EVERY)()


def _now() -> tuple[object, ...]:
    """Return the run in training and the queue."""
    training = manager().training()
    return training.id if training else None, manager().queue.ids(), manager().queue.paused


def _entry(place: int, run: Run, label: str) -> None:
    text, change = st.columns([5, 3], vertical_alignment="center")
    settings = run.settings()
    text.markdown(
        f"{place + 1}\\. {escape(label)}  \n"
        f":small[{escape(cut(run.dataset, LONGEST))} · {counted(settings.training.epochs, 'epoch')}]"
    )
    menu = change.popover("Change", width="stretch", key=f"change {run.id} {place}")
    queue, trained = manager().queue, bool(run.metrics())
    if place:
        action(
            menu, "Run next", "vertical_align_top", f"next {run.id}", lambda: queue.run_next(run.id), width="stretch"
        )
        action(menu, "Move up", "arrow_upward", f"up {run.id}", lambda: queue.move_up(run.id), width="stretch")
    menu.caption(
        "Removing keeps the run and its completed epochs."
        if trained
        else "Removing moves the run to the trash, because it has no completed epoch."
    )
    action(
        menu, "Remove", "close", f"remove {run.id}", lambda: manager().stop(run, discard=not trained), width="stretch"
    )
