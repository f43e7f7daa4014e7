"""The trash of the store: what was deleted, to bring back or to delete for good.

In this module: trash_panel.
"""

from __future__ import annotations

import streamlit as st

from expertnet.store.index import RunRow, rows_of
from expertnet.store.run_store import RunStore
from expertnet.store.trash import bring_back, empty, trashed
from expertnet.ui import shell
from expertnet.ui.auth import login
from expertnet.ui.runs.table import columns, height, table_key, table_of

SHOWN = ["Run", "State", "Best", "Test", "When", "Dataset"]


def trash_panel(store: RunStore) -> None:
    """A folded list; nothing where the trash is empty. Its runs are read only when it is unfolded."""
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
    ticked = [rows[index] for index in event["selection"]["rows"] if index < len(rows)]
    chosen = [row.id for row in ticked or rows]
    some = f"{len(ticked):,}" if ticked else "all"
    buttons = st.container(horizontal=True, vertical_alignment="center")
    back = "Bring back" if len(rows) == 1 else f"Bring {some} back"
    if buttons.button(back, icon=":material/undo:", key=f"back {key}", **login.reserved()):
        shell.act(lambda: [bring_back(store, run_id) for run_id in chosen])
    label = f"Delete {some} for good" if ticked else "Empty the trash"
    with buttons.popover(label, icon=":material/delete_forever:", key=f"ask empty {key} {some}"):
        count = "This run" if len(chosen) == 1 else f"These {len(chosen):,} runs"
        verb = "is" if len(chosen) == 1 else "are"
        st.write(f"{count} and all checkpoints {verb} deleted for good; nothing brings them back.")
        if st.button("Delete for good", type="primary", key=f"empty {key}", **login.reserved()):
            shell.act(lambda: empty(store, chosen))
