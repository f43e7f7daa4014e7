"""One of your datasets: what it holds, the last change, and the menu."""

from collections.abc import Callable, Sequence

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from expertnet.data.catalog import Listed, balance, class_counts
from expertnet.data.own import edits
from expertnet.data.own.datasets import can_redo, can_undo, redo, restore_version, undo
from expertnet.data.own.layout import missing_of
from expertnet.data.own.space import older_size
from expertnet.data.own.versions import Version, history, rejected_files
from expertnet.store.prune import delete_older
from expertnet.store.run_store import RunStore
from expertnet.ui.auth import login
from expertnet.ui.data.chosen import remove_button
from expertnet.ui.shell import act, action
from expertnet.utils.text import counted, escape, size_text, time_text

SHOWN = 50  # versions


def dataset_header(row: Listed, version: Version, train: Callable[[str], None]) -> None:
    """Draw the line on a dataset with its actions, and the last change with Undo. `train` opens the form of a training."""
    contents, dataset = version.contents, version.dataset
    line = st.container(horizontal=True, vertical_alignment="center")
    line.markdown(
        f"**{escape(contents.title)}**, version {version.number} · {counted(len(contents.images), 'image')} in "
        f"{counted(len(contents.classes), 'class', 'classes')} · {size_text(version.size)}",
        width="content",
    )
    problem = missing_of(version)
    if not problem:
        icon = ":material/model_training:"
        if line.button("Train on it", icon=icon, key=f"train {version.reference}", type="primary"):
            train(version.reference)
    menu = line.popover("More", icon=":material/more_horiz:", key=f"more {dataset} {version.number}")
    with menu, st.form(f"rename {dataset} {version.number}", border=False):
        title = st.text_input("Name", contents.title, key=f"rename title {dataset} {version.number}")
        if st.form_submit_button("Rename", key=f"rename {dataset}", **login.reserved()):
            act(lambda: edits.rename_dataset(dataset, title))
    remove_button(menu, row)
    said = escape(problem or balance(class_counts(dataset) or {}))
    line = st.container(horizontal=True, vertical_alignment="center", gap="small")
    if said:
        line.caption(f":material/info: {said}" if problem else said, width="content")
    if version.number > 1:
        _last_change(line, version)


def _last_change(line: DeltaGenerator, version: Version) -> None:
    """Draw what the last change was, and the buttons that undo or redo it."""
    dataset, back, forward = version.dataset, can_undo(version.dataset), can_redo(version.dataset)
    line.markdown(f":small[{escape(version.what)}]", width="content")
    if back:
        help = f"Undoes: {escape(back)}"
        action(line, "Undo", "undo", f"undo {version.number}", lambda: undo(dataset), help=help, type="tertiary")
    if forward:
        help = f"Redoes: {escape(forward)}"
        action(line, "Redo", "redo", f"redo {version.number}", lambda: redo(dataset), help=help, type="tertiary")


def versions_view(version: Version) -> None:
    """Draw all versions, newest first, each with what differs from the one before, and a button that restores one."""
    changes = history(version.dataset)[::-1]
    table = [
        {"Version": each.number, "What differs": each.what, "Images": each.images, "When": time_text(each.time)}
        for each in changes
    ]
    st.dataframe(
        table,
        hide_index=True,
        key=f"versions {version.dataset}",
        column_config={"What differs": st.column_config.TextColumn(width="large")},
    )
    numbers = [each.number for each in changes[1:]]
    if numbers:
        row = st.container(horizontal=True, vertical_alignment="bottom")
        number = row.selectbox("Version", numbers, key=f"restored {version.reference}", width=120)
        action(
            row, "Restore", "history", f"restore {version.reference}", lambda: restore_version(version.dataset, number)
        )
        size = older_size(version.dataset)
        if size:
            with row.popover(
                f"Free {size_text(size)}", icon=":material/delete_sweep:", key=f"free {version.reference}"
            ):
                st.write(
                    "This deletes the older versions, and the images that only they have. You cannot undo this. Runs that were "
                    "trained on them keep their images."
                )
                action(
                    st.container(),
                    "Delete older versions",
                    "delete_forever",
                    f"prune {version.reference}",
                    lambda: delete_older(RunStore(), version.dataset),
                )
    if rejected := rejected_files(version.dataset):
        with st.expander(f"{counted(len(rejected), 'file')} could not be added", key="rejected"):
            rejected_table(rejected)


def rejected_table(rejected: Sequence[tuple[str, str]]) -> None:
    """Draw files that could not be added, and why."""
    st.dataframe([{"File": path, "Why": reason} for path, reason in rejected], hide_index=True)
