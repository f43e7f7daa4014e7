"""The runs that wait, and a look at the store every few seconds for what others have begun or queued.

In this module: queue_panel.
"""

from __future__ import annotations

import streamlit as st

from expertnet.jobs import manager
from expertnet.runs import Run
from expertnet.ui import access
from expertnet.ui.run_picker import describe
from expertnet.ui.shell import act, escape

LOOK_EVERY = 2.0  # seconds


def queue_panel() -> None:
    """The queue in its order, to be changed; nothing where nothing waits."""
    drawn = _now()
    waiting, paused = manager().waiting(), manager().queue.paused
    if waiting or paused:
        head = st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute")
        head.markdown(f"**Queue**{', paused' if paused else ''}")
        label, icon = ("Go on", "play_arrow") if paused else ("Pause", "pause")
        help_ = "Nothing new is begun while it is paused; what trains goes on."
        if head.button(label, icon=f":material/{icon}:", key="pause", **access.reserved(help=help_)):
            act(lambda: manager().pause(not paused))
    for place, run in enumerate(waiting):
        _entry(place, run)

    def look() -> None:
        if _now() != drawn:
            st.rerun()

    access.fragment(look, run_every=LOOK_EVERY)()


def _now() -> tuple[object, ...]:
    """What the page shows of the store beside the run in view."""
    training = manager().training()
    return training.id if training else None, manager().queue.ids(), manager().queue.paused


def _entry(place: int, run: Run) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"{place + 1}\\. {escape(describe(run))}", width="stretch")
        with st.popover("Change", icon=":material/more_vert:", key=f"change {run.id}"):
            if place and st.button(
                "Run next",
                icon=":material/vertical_align_top:",
                width="stretch",
                key=f"next {run.id}",
                **access.reserved(),
            ):
                act(lambda: manager().queue.run_next(run.id))
            if place and st.button(
                "Move up", icon=":material/arrow_upward:", width="stretch", key=f"up {run.id}", **access.reserved()
            ):
                act(lambda: manager().queue.move_up(run.id))
            learned = bool(run.metrics())
            what = "Its epochs are kept." if learned else "It goes to the trash, since it has learned nothing yet."
            st.caption(what)
            if st.button(
                "Remove", icon=":material/close:", width="stretch", key=f"remove {run.id}", **access.reserved()
            ):
                act(lambda: manager().stop(run, discard=not learned))
