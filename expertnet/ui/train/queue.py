"""The queue of runs. It checks the store every few seconds for runs that other tabs and command lines start or queue."""

from collections.abc import Callable
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from expertnet.store.index import row_labels, rows_of
from expertnet.store.queue import MOST_AT_ONCE
from expertnet.store.run import Run
from expertnet.training.manager import manager
from expertnet.ui.auth import login
from expertnet.ui.shell import act, action
from expertnet.utils.text import counted, cut, escape

LOOK_EVERY = 2.0  # seconds
LONGEST = 40  # characters of a title
LISTED = 20  # waiting runs


def queue_panel(place: DeltaGenerator, in_view: Run | None) -> Callable[[], bool]:
    """Draw the queue as a button that opens it, unless nothing waits and no training is listed. Returns a test for changes.

    A run in view that is about to start here does not count, or the button would be gone a moment later and what is beside it move.
    """
    drawn, queue, room = _now(), manager().queue, manager().executor.room
    training, waiting, paused = manager().training(), manager().waiting(), queue.paused
    listed, alone = _listed(training), [run.id for run in waiting] == [in_view and in_view.id]
    starts = alone and not (training or paused or room)
    if (waiting and not starts) or paused or listed:
        said = ", paused" if paused else ""
        with place.popover(f"Queue ({len(waiting)}{said})", icon=":material/format_list_numbered:", key="queue"):
            label, icon = ("Resume queue", "play_arrow") if paused else ("Pause queue", "pause")
            help = "A paused queue starts no new run. A run in training continues."
            action(st.container(), label, icon, "pause", lambda: manager().pause(not paused), help=help)
            if room:
                st.caption(escape(room))
            else:
                _limit(queue.limit)
            labels = row_labels(rows_of([*listed, *waiting[:LISTED]]), LONGEST)
            for run in listed:
                st.markdown(f"{escape(labels[run.id])}  \n:small[{escape(manager().executor.status(run))}]")
            for number, run in enumerate(waiting[:LISTED]):
                if run.has_settings:
                    _entry(number, run, labels[run.id])
            if len(waiting) > LISTED:
                st.caption(f"And {len(waiting) - LISTED:,} more.")

    return lambda: _now() != drawn


def _limit(limit: int) -> None:
    """Draw how many runs may train at once."""
    help = "On a computer with several GPUs, each run gets one of them for each of its processes. On the CPU, runs share the threads."
    wanted = st.number_input(
        "Concurrent runs", 1, MOST_AT_ONCE, limit, key=f"trainings {limit}", **{"help": help} | login.reserved()
    )
    if wanted != limit:
        act(lambda: manager().set_limit(int(wanted)))


def watch_queue(changed: Callable[[], bool]) -> None:
    """Draw the page again once the queue, or what else is tested, has changed."""

    def look() -> None:
        if changed():
            st.rerun()

    login.fragment(look, run_every=LOOK_EVERY)()


def _listed(training: list[Run]) -> list[Run]:
    """Return the runs in training, unless there is only one and it can only be here."""
    elsewhere = manager().executor.room or not all(run.status().is_here for run in training)
    return training if elsewhere or len(training) > 1 else []


def _now() -> tuple[object, ...]:
    """Return the runs in training, where the listed ones train, and the queue."""
    queue, training = manager().queue, manager().training()
    where = [manager().executor.status(run) for run in _listed(training)]
    return [run.id for run in training], where, queue.ids(), queue.paused, queue.limit


def _entry(place: int, run: Run, label: str) -> None:
    st.markdown(
        f"{place + 1}\\. {escape(label)}  \n"
        f":small[{escape(cut(run.dataset, LONGEST))} · {counted(run.settings().training.epochs, 'epoch')}]  \n"
        f":small[{escape(manager().executor.status(run))}]"
    )
    row, queue = st.container(horizontal=True), manager().queue
    look: dict[str, Any] = {"type": "tertiary"}
    if place:
        action(
            row, f"Run {place + 1} next", "vertical_align_top", f"next {run.id}", lambda: queue.run_next(run.id), **look
        )
        action(row, f"Move {place + 1} up", "arrow_upward", f"up {run.id}", lambda: queue.move_up(run.id), **look)
    removal(row, f"Remove {place + 1}", run, f"remove {run.id}", **look)


def removal(row: DeltaGenerator, label: str, run: Run, key: str, **look: Any) -> None:
    """Draw a button that removes a run from the queue. Without a completed epoch, the run moves to the trash."""
    trained = bool(run.metrics())
    kept, gone = "Keeps the run and its completed epochs.", "Moves the run to the trash: it has no completed epoch."
    action(
        row,
        label,
        "close",
        key,
        lambda: manager().stop(run, discard=not trained),
        help=kept if trained else gone,
        **look,
    )
