"""The trash: deleted runs, to restore or to delete permanently."""

from __future__ import annotations

import streamlit as st

from expertnet.store.index import RunRow, rows_of
from expertnet.store.run_store import RunStore
from expertnet.store.trash import empty_trash, restore_run, trashed
from expertnet.ui import shell
from expertnet.ui.auth import login
from expertnet.ui.runs.table import columns, height, table_key, table_of
from expertnet.utils.text import counted

SHOWN = ["Run", "State", "Best", "Test", "Created", "Dataset"]


def trash_panel(store: RunStore) -> None:
    """Draw a folded list, unless the trash is empty. Its runs are read when it is unfolded."""
    runs = trashed(store)
    if not runs:
        return
    panel = st.expander(f"Trash ({len(runs):,})", icon=":material/delete:", on_change="rerun", key="trash")
    if panel.open:
        with panel:
            _contents(store, rows_of(runs))


def _contents(store: RunStore, rows: list[RunRow]) -> None:
    key = table_key(rows)
    event = st.dataframe(
        table_of(rows)[SHOWN],
        hide_index=True,
        width="stretch",
        height=height(min(len(rows), 10)),
        placeholder="–",
        on_select="rerun",
        selection_mode="multi-row",
        key=f"trashed {key}",
        alt="Deleted runs with their state, accuracy and date",
        column_config={name: column for name, column in columns().items() if name in SHOWN},
    )
    selected = [rows[index] for index in event["selection"]["rows"] if index < len(rows)]
    ids = [row.id for row in selected or rows]
    buttons = st.container(horizontal=True, vertical_alignment="center")
    restore = f"Restore {len(selected):,}" if selected else "Restore all" if len(rows) > 1 else "Restore"
    if buttons.button(restore, icon=":material/undo:", key=f"back {key}", **login.reserved()):
        shell.act(lambda: [restore_run(store, run_id) for run_id in ids])
    delete = f"Delete {len(selected):,} permanently" if selected else "Empty trash"
    with buttons.popover(delete, icon=":material/delete_forever:", key=f"ask empty {key} {len(selected)}"):
        st.write(f"This permanently deletes {counted(len(ids), 'run')} and all checkpoints. You cannot undo this.")
        if st.button("Delete permanently", type="primary", key=f"empty {key}", **login.reserved()):
            shell.act(lambda: empty_trash(store, ids))
