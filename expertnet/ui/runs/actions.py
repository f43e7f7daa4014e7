"""What can be done with the runs that are ticked: one or several.

In this module: run_actions and undo_line. Every button is bound to the ids of the runs that were ticked when it was drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from expertnet.errors import RunError
from expertnet.store import notes
from expertnet.store.checks import has_network, resume_fault
from expertnet.store.index import LONGEST, RunRow, row_labels
from expertnet.store.notes import Notes, split_tags
from expertnet.store.run import Run
from expertnet.store.run_store import RunStore
from expertnet.store.status import RESUMABLE_STATES
from expertnet.store.trash import bring_back, move_to_trash, trashed
from expertnet.training.manager import manager
from expertnet.ui import shell
from expertnet.ui.auth import login
from expertnet.ui.run_picker import model_card
from expertnet.ui.runs.import_export import export_button
from expertnet.utils.text import cut, escape

DELETED = "deleted runs"  # in the session: the ids that Undo brings back
NAMED = 5  # runs that a sentence names


def run_actions(rows: list[RunRow]) -> None:
    """The buttons for what is ticked; none for nothing."""
    if len(rows) == 1:
        _one(rows[0])
    elif rows:
        _several(rows)


def _one(row: RunRow) -> None:
    run = row.run
    st.markdown(f"**{escape(row.title)}**")  # in full: a cell may have cut it
    if row.damage:
        st.error(escape(row.damage), icon=":material/error:")
    why_not = resume_fault(run) if row.settings and row.state in RESUMABLE_STATES else None
    if why_not:
        st.warning(escape(why_not), icon=":material/block:")
    buttons = st.container(horizontal=True, vertical_alignment="center")
    if row.settings:
        with buttons:
            shell.link("train", "Open", run.id)
            if has_network(run):
                shell.link("experts", "Routing", run.id)
                shell.link("predict", "Classify", run.id)
        resumable = row.state in RESUMABLE_STATES and not why_not and not row.shipped
        if resumable and buttons.button(
            "Resume", icon=":material/play_arrow:", key=f"resume {run.id}", **login.reserved()
        ):
            shell.act(lambda: manager().resume(run))
    if row.state in ("queued", "running") and buttons.button(
        "Stop", icon=":material/stop_circle:", key=f"stop {run.id}", **login.reserved()
    ):
        shell.act(lambda: manager().stop(run))
    if not row.shipped:
        _edit(buttons, run)
        if not row.active:
            _delete(buttons, [row])
    with buttons:
        export_button(run)
    if row.note:
        st.text(row.note)  # as typed: no Markdown
    model_card(run)


def _edit(place: DeltaGenerator, run: Run) -> None:
    """Name, tags and note. Once they have changed, the keys are others: the form closes, and shows what is on the disk."""
    now = run.notes()
    key = f"{run.id} {hash(now)}"
    with (
        place.popover("Name, tags, note", icon=":material/edit:", key=f"edit {key}"),
        st.form(f"notes {key}", border=False),
    ):
        name = st.text_input(
            "Name",
            run.given_name,
            key=f"name {key}",
            placeholder=run.title,
            help=f"At most {notes.NAME} characters. Empty: the name it was started with.",
        )
        tags = st.text_input(
            "Tags",
            ", ".join(now.tags),
            key=f"tags {key}",
            placeholder="baseline, to repeat",
            help=f"With commas between them; at most {notes.TAGS}, of at most {notes.TAG} characters each.",
        )
        note = st.text_area("Note", now.note, height=140, key=f"note {key}")
        if st.form_submit_button("Save", type="primary", key=f"save {key}", **login.reserved()):
            kept = "" if name == run.given_name and not now.name else name  # the name of its start is no new name
            shell.act(lambda: run.annotate(Notes(kept, split_tags(tags), note)))


def _delete(place: DeltaGenerator, rows: list[RunRow]) -> None:
    ids = [row.id for row in rows]
    key = f"{ids[0]} {hash(tuple(ids))}" if len(ids) > 1 else ids[0]
    what = f"{escape(rows[0].title)} goes" if len(rows) == 1 else f"These {len(rows):,} runs go"
    label = "Delete" if len(rows) == 1 else f"Delete {len(rows):,}"
    with place.popover(label, icon=":material/delete:", key=f"ask {key}"):
        st.write(
            f"{what} to the trash of this store with all checkpoints, and can be brought back until it is emptied."
        )
        sure = "Delete this run" if len(rows) == 1 else f"Delete {len(rows):,} runs"
        if st.button(sure, type="primary", key=f"delete {key}", **login.reserved()):
            shell.act(lambda: _move_to_trash(rows))


def _move_to_trash(rows: list[RunRow]) -> None:
    done: list[str] = []
    try:
        for row in rows:
            move_to_trash(row.run)
            done.append(row.id)
    finally:
        st.session_state[DELETED] = done


def _several(rows: list[RunRow]) -> None:
    own = [row for row in rows if not row.shipped]
    idle = [row for row in own if not row.active]
    place = st.container(horizontal=True, vertical_alignment="center")
    place.markdown(f"**{len(rows):,} runs** are ticked.", width="content")
    if own:
        _tag(place, own)
    if idle:
        _delete(place, idle)
    with place:
        export_button(*(row.run for row in rows))
    for why, stay in (
        ("came with the app", [row for row in rows if row.shipped]),
        ("have not ended", [row for row in own if row.active]),
    ):
        if stay:
            st.caption(f"Cannot be deleted, because they {why}: {_titles(stay, row_labels(rows))}.")


def _titles(rows: list[RunRow], labels: dict[str, str]) -> str:
    """The first of them by name, and how many more there are."""
    named = [f"“{escape(labels[row.id])}”" for row in rows[:NAMED]]
    return ", ".join(named) + (f" and {len(rows) - NAMED:,} more" if len(rows) > NAMED else "")


def _tag(place: DeltaGenerator, rows: list[RunRow]) -> None:
    key = hash(
        tuple((row.id, row.tags) for row in rows)
    )  # another form once a tag has changed, so that this one closes
    with (
        place.popover("Tag", icon=":material/label:", key=f"tag {key}"),
        st.form(f"tags {key}", border=False),
    ):
        typed = st.text_input("Tags", key=f"tags typed {key}", help="With commas between them.")
        buttons = st.container(horizontal=True)
        add = buttons.form_submit_button(
            f"Add to all {len(rows):,}", type="primary", key=f"add {key}", **login.reserved()
        )
        remove = buttons.form_submit_button("Remove from all", key=f"remove {key}", **login.reserved())
    tags = split_tags(typed)
    if add and tags:
        shell.act(lambda: _annotate(rows, lambda kept: notes.with_tags(kept, tags)))
    elif remove and tags:
        shell.act(lambda: _annotate(rows, lambda kept: notes.without_tags(kept, tags)))


def _annotate(rows: Iterable[RunRow], change: Callable[[Notes], Notes]) -> None:
    """Every run that can be changed is; then says for which it could not."""
    refused = []
    for row in rows:
        try:
            row.run.annotate(replace(change(row.run.notes())))
        except RunError as error:
            refused.append(str(error))
    if refused:
        more = f" And {len(refused) - 1} more like this." if len(refused) > 1 else ""
        raise RunError(refused[0] + more)


def undo_line(store: RunStore) -> None:
    """Says what was deleted last, with Undo, for as long as it lies in the trash.

    It stands where the button was that deleted, below the table, so that nothing above it moves.
    """
    there = {run.id: run for run in trashed(store)} if st.session_state.get(DELETED) else {}
    runs = [there[run_id] for run_id in st.session_state.get(DELETED, ()) if run_id in there]
    if not runs:
        return
    what = f"{escape(cut(runs[0].title, LONGEST))} is" if len(runs) == 1 else f"{len(runs):,} runs are"
    place = st.container(horizontal=True, vertical_alignment="center")
    place.markdown(f":material/delete: {what} in the trash.", width="content")
    if place.button("Undo", icon=":material/undo:", key="undo delete", **login.reserved()):
        shell.act(lambda: [bring_back(store, run.id) for run in runs])
    if place.button("", icon=":material/close:", key="dismiss undo", type="tertiary", help="Keep it there"):
        shell.act(lambda: st.session_state.pop(DELETED))
