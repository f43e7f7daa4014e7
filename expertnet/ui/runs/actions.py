"""What you can do with a run, or with several. The key of each button names them, so that it never acts on others."""

from collections.abc import Callable, Iterable

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from expertnet.errors import RunError
from expertnet.store import notes
from expertnet.store.checks import has_network, resume_fault
from expertnet.store.index import LONGEST, row_labels
from expertnet.store.notes import Notes, split_tags
from expertnet.store.rows import RunRow
from expertnet.store.run import Run
from expertnet.store.run_store import RunStore
from expertnet.store.status import RESUMABLE_STATES
from expertnet.store.trash import move_to_trash, restore_run, trashed
from expertnet.training.manager import manager
from expertnet.ui import shell
from expertnet.ui.auth import login
from expertnet.ui.export import export_button
from expertnet.ui.runs.state import close_drawer, open_drawer
from expertnet.ui.style import room_key
from expertnet.utils.text import counted, cut, escape

DELETED = "deleted runs"  # in the session: the ids that Undo restores
NAMED = 5  # runs named in a sentence


def run_actions(row: RunRow) -> None:
    """Draw the actions on one run."""
    run = row.run
    if row.damage:
        st.error(escape(row.damage), icon=":material/error:")
    resumable = bool(row.settings) and row.state in RESUMABLE_STATES
    why_not = resume_fault(run) if resumable else None
    if why_not:
        st.warning(escape(why_not), icon=":material/block:")
    buttons = st.container(horizontal=True, vertical_alignment="center", key=room_key("actions of a run"))
    if row.settings:
        with buttons:
            shell.link("train", "See training", run.id)
            if has_network(run):
                shell.link("train", "See mistakes", run.id, "rule", tab="Mistakes")
                shell.link("experts", "See routing", run.id)
                shell.link("predict", "Try it", run.id)
    if resumable and not why_not and not row.shipped:
        shell.action(buttons, "Resume", "play_arrow", f"resume {run.id}", lambda: manager().resume(run))
    if row.state in ("queued", "running"):
        shell.action(buttons, "Stop", "stop_circle", f"stop {run.id}", lambda: manager().stop(run))
    if not row.shipped:
        _edit(buttons, run)
        if not row.active:
            _delete(buttons, [row], run.id)
    with buttons:
        export_button(run)


def _edit(place: DeltaGenerator, run: Run) -> None:
    """Draw a form for name, tags and note. When they change, its key does too, so it closes and shows what was saved."""
    now = run.notes()
    key = f"{run.id} {hash(now)}"
    with place.popover("Edit", icon=":material/edit:", key=f"edit {key}"), st.form(f"notes {key}", border=False):
        name = st.text_input(
            "Name",
            run.given_name,
            key=f"name {key}",
            placeholder=run.title,
            help=f"At most {notes.MAX_NAME} characters. Leave it empty to restore the original name.",
        )
        tags = st.text_input(
            "Tags",
            ", ".join(now.tags),
            key=f"tags {key}",
            placeholder="baseline, to repeat",
            help=f"Separate tags with commas. At most {notes.MAX_TAGS} tags of {notes.MAX_TAG} characters.",
        )
        note = st.text_area("Note", now.note, height=140, key=f"note {key}")
        if st.form_submit_button("Save", type="primary", key=f"save {key}", **login.reserved()):
            renamed = "" if name == run.given_name and not now.name else name  # the original name is not a new one
            shell.act(lambda: run.annotate(Notes(renamed, split_tags(tags), note)))


def _delete(place: DeltaGenerator, rows: list[RunRow], key: str) -> None:
    one = len(rows) == 1
    what = f"“{escape(rows[0].title)}”" if one else counted(len(rows), "run")
    ask = place.popover("Delete" if one else f"Delete {len(rows):,}", icon=":material/delete:", key=f"ask {key}")
    ask.write(f"This moves {what} with all checkpoints to the trash, from where you can restore everything.")

    def delete() -> None:
        moved = st.session_state[DELETED] = []
        for row in rows:
            move_to_trash(row.run)
            moved.append(row.id)
        close_drawer()

    confirm = "Delete this run" if one else f"Delete {len(rows):,} runs"
    shell.action(ask, confirm, "delete", f"delete {key}", delete, type="primary")


def group_actions(place: DeltaGenerator, rows: list[RunRow]) -> None:
    """Draw the actions on all compared runs."""
    own = [row for row in rows if not row.shipped]
    idle = [row for row in own if not row.active]
    labels = {run_id: escape(label) for run_id, label in row_labels(rows).items()}
    icon = ":material/right_panel_open:"
    if len(rows) == 1:
        place.button("Open run", icon=icon, key=f"open {rows[0].id}", on_click=open_drawer, args=(rows[0].id,))
    else:
        chosen = place.menu_button("Open run", list(labels), format_func=labels.__getitem__, icon=icon, key="open one")
        if chosen:
            open_drawer(chosen)
    if len(rows) == 2 and rows[0].network == rows[1].network != "":
        with place:
            one, other = rows
            shell.link("experts", "Compare routing", one.id, view="Compare", **{"with": other.id})
    if own:
        _tag(place, own)
    if idle:
        _delete(place, idle, f"selected {hash(tuple(row.id for row in idle))}")
    with place:
        export_button(*(row.run for row in rows), key="selected")
    kept = [f"“{labels[row.id]}”" for row in rows if row not in idle]
    if kept and len(rows) > 1:
        more = f" and {len(kept) - NAMED:,} more" if len(kept) > NAMED else ""
        st.caption(f"Active and included runs cannot be deleted: {', '.join(kept[:NAMED])}{more}.")


def _tag(place: DeltaGenerator, rows: list[RunRow]) -> None:
    """Draw a form that adds or removes tags. When they change, its key does too, so it closes."""
    key = hash(tuple((row.id, row.tags) for row in rows))
    with place.popover("Tag", icon=":material/label:", key=f"tag {key}"), st.form(f"tags {key}", border=False):
        typed = st.text_input("Tags", key=f"tags typed {key}", help="Separate tags with commas.")
        buttons = st.container(horizontal=True)
        add = buttons.form_submit_button("Add to all", type="primary", key=f"add {key}", **login.reserved())
        remove = buttons.form_submit_button("Remove from all", key=f"remove {key}", **login.reserved())
    tags = split_tags(typed)
    if add and tags:
        shell.act(lambda: _annotate(rows, lambda old: notes.with_tags(old, tags)))
    elif remove and tags:
        shell.act(lambda: _annotate(rows, lambda old: notes.without_tags(old, tags)))


def _annotate(rows: Iterable[RunRow], change: Callable[[Notes], Notes]) -> None:
    """Change the notes of every run that allows it. Raises RunError with the first reason why one does not."""
    refused = []
    for row in rows:
        try:
            row.run.annotate(change(row.run.notes()))
        except RunError as error:
            refused.append(str(error))
    if refused:
        others = f" {counted(len(refused) - 1, 'other run')} could not be changed either." if refused[1:] else ""
        raise RunError(refused[0] + others)


def undo_line(store: RunStore) -> None:
    """Draw Undo for the last deletion while it is in the trash. Below the table, it does not move what is above."""
    deleted = st.session_state.get(DELETED, ())
    in_trash = {run.id: run for run in trashed(store)} if deleted else {}
    runs = [in_trash[run_id] for run_id in deleted if run_id in in_trash]
    if not runs:
        return
    what = f"“{escape(cut(runs[0].title, LONGEST))}” is" if len(runs) == 1 else f"{len(runs):,} runs are"
    place = st.container(horizontal=True, vertical_alignment="center")
    place.markdown(f":material/delete: {what} in the trash.", width="content")
    shell.action(place, "Undo", "undo", "undo delete", lambda: [restore_run(store, run.id) for run in runs])
    if place.button("", icon=":material/close:", key="dismiss undo", type="tertiary", help="Dismiss"):
        shell.act(lambda: st.session_state.pop(DELETED))
