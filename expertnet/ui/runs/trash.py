"""The trash: deleted runs, to restore or to delete permanently."""

import streamlit as st

from expertnet.store.index import rows_of
from expertnet.store.run_store import RunStore
from expertnet.store.trash import empty_trash, restore_run, trashed
from expertnet.ui.runs.table import select_runs, table_key, table_of
from expertnet.ui.shell import action
from expertnet.utils.text import counted

SHOWN = ["Run", "Best", "Test", "State", "Dataset"]


def trash_panel(store: RunStore) -> None:
    """Draw the list of deleted runs."""
    rows = rows_of(trashed(store))
    if not rows:
        st.caption("The trash is empty.")
        return
    key = table_key(rows, "trash")
    selected = select_runs(rows, table_of(rows)[SHOWN], key, alt="Deleted runs with their accuracy, state and dataset")
    ids = [row.id for row in selected or rows]
    buttons = st.container(horizontal=True, vertical_alignment="center")
    restore = f"Restore {len(selected):,}" if selected else "Restore all" if len(rows) > 1 else "Restore"
    action(buttons, restore, "undo", f"back {key}", lambda: [restore_run(store, run_id) for run_id in ids])
    delete = f"Delete {len(selected):,} permanently" if selected else "Empty trash"
    ask = buttons.popover(delete, icon=":material/delete:", key=f"ask empty {key} {len(selected)}")
    ask.write(f"This permanently deletes {counted(len(ids), 'run')} and all checkpoints. You cannot undo this.")
    icon = "delete_forever"
    action(ask, "Delete permanently", icon, f"empty {key}", lambda: empty_trash(store, ids), type="primary")
