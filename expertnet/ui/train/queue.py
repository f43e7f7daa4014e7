"""The runs that wait, and a look at the store every few seconds for what others have begun or queued.

In this module: queue_panel.
"""

from __future__ import annotations

import streamlit as st

from expertnet.store.index import row_labels, rows_of
from expertnet.store.run import Run
from expertnet.training.manager import manager
from expertnet.ui.auth import login
from expertnet.ui.shell import act
from expertnet.utils.text import counted, cut, escape

LOOK_EVERY = 2.0  # seconds
LONGEST = 40  # signs of a title


def queue_panel() -> None:
    """The queue in its order, to be changed; nothing where nothing waits."""
    drawn = _now()
    waiting, paused, training = manager().waiting(), manager().queue.paused, manager().training()
    if training is not None and training.id != st.query_params.get("run"):
        # no link: after one to the page that it stands on, the browser goes on with the address of before
        label = f"In training now: {escape(cut(training.title, LONGEST))}"
        if st.button(label, icon=":material/model_training:", type="tertiary", key="in training"):
            st.query_params["run"] = training.id
            st.rerun()
    if waiting or paused:
        head = st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute")
        head.markdown(f"**Queue**{', paused' if paused else ''}")
        label, icon = ("Go on", "play_arrow") if paused else ("Pause", "pause")
        help_ = "Nothing new is begun while it is paused; what trains goes on."
        if head.button(label, icon=f":material/{icon}:", key="pause", **login.reserved(help=help_)):
            act(lambda: manager().pause(not paused))
    labels = row_labels(rows_of(waiting), LONGEST)
    for place, run in enumerate(waiting):
        if run.has_settings:
            _entry(place, run, labels[run.id])

    def look() -> None:
        if _now() != drawn:
            st.rerun()

    login.fragment(look, run_every=LOOK_EVERY)()


def _now() -> tuple[object, ...]:
    """What the page shows of the store beside the run in view."""
    training = manager().training()
    return training.id if training else None, manager().queue.ids(), manager().queue.paused


def _entry(place: int, run: Run, label: str) -> None:
    text, change = st.columns([5, 3], vertical_alignment="center")
    settings = run.settings()
    text.markdown(
        f"{place + 1}\\. {escape(label)}  \n"
        f":small[{escape(cut(run.dataset, LONGEST))} · {counted(settings.training.epochs, 'epoch')}]"
    )
    with change.popover("Change", width="stretch", key=f"change {run.id} {place}"):
        if place and _pressed("Run next", "vertical_align_top", f"next {run.id}"):
            act(lambda: manager().queue.run_next(run.id))
        if place and _pressed("Move up", "arrow_upward", f"up {run.id}"):
            act(lambda: manager().queue.move_up(run.id))
        learned = bool(run.metrics())
        st.caption(
            "It stays as it was before." if learned else "It goes to the trash, since it has learned nothing yet."
        )
        if _pressed("Remove", "close", f"remove {run.id}"):
            act(lambda: manager().stop(run, discard=not learned))


def _pressed(label: str, icon: str, key: str) -> bool:
    return st.button(label, icon=f":material/{icon}:", width="stretch", key=key, **login.reserved())
