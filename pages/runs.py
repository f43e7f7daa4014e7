"""Runs: find, manage and compare them."""

import streamlit as st

from expertnet.store.index import open_index
from expertnet.store.run_store import RunStore
from expertnet.ui import shell
from expertnet.ui.runs.actions import undo_line
from expertnet.ui.runs.compare import compare_runs
from expertnet.ui.runs.drawer import page_menu, show_drawer
from expertnet.ui.runs.imports import import_results
from expertnet.ui.runs.run_list import find_runs, follow, run_table

shell.require()
store = RunStore()
index = open_index(store)
head = st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute")
head.header("Runs", width="content")
page_menu(head, store)
import_results()
if index.count():
    shown, matched, compared = find_runs(index)
    left, *right = st.columns([5, 9] if compared else 1)
    with left:
        run_table(index, shown, matched, compared)
        undo_line(store)
    if compared:
        compare_runs(compared, *right)
else:
    shell.nothing_yet("There are no runs yet.")
    undo_line(store)
show_drawer(index, store)
follow(index)
