"""Runs: find, manage and compare them."""

import streamlit as st

from expertnet.store.index import run_rows
from expertnet.store.run_store import RunStore
from expertnet.ui import shell
from expertnet.ui.runs.actions import run_actions, undo_line
from expertnet.ui.runs.compare import compare_runs
from expertnet.ui.runs.import_export import import_panel
from expertnet.ui.runs.run_list import follow, run_list
from expertnet.ui.runs.trash import trash_panel

shell.require()

st.header("Runs")
store = RunStore()
rows = run_rows(store)
selected = run_list(rows)
undo_line(store)
if selected:
    run_actions(selected)
    compare_runs(selected)
import_panel()
trash_panel(store)
follow(rows)
