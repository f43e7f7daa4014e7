"""All runs: to find, to act on and to compare."""

import streamlit as st

from expertnet.store.index import run_rows
from expertnet.store.run_store import RunStore
from expertnet.ui import shell
from expertnet.ui.runs.actions import run_actions, undo_line
from expertnet.ui.runs.compare import compare_runs
from expertnet.ui.runs.filter import filter_runs, nothing_matches
from expertnet.ui.runs.import_export import import_panel
from expertnet.ui.runs.table import TALLEST, follow, keep_ticked, run_table
from expertnet.ui.runs.trash import trash_panel

shell.require()

st.header("Runs")
store = RunStore()
rows, ticked = run_rows(store), []
if not rows:
    st.info(
        "There are no runs yet. The first takes under a minute: train on the digits.", icon=":material/model_training:"
    )
    shell.link("train", "Go to Train", icon="arrow_forward")
shown = filter_runs(rows) if rows else []
if shown:
    count = f"{len(rows):,} {'run' if len(rows) == 1 else 'runs'}"
    if len(shown) < len(rows):
        count = f"{len(shown):,} of {count}"
    scrolls = "; the table scrolls to the rest" if len(shown) > TALLEST else ""
    st.caption(f"{count}{scrolls}. Tick one run to act on it, several to compare them.")
    ticked = run_table(shown)
elif rows:
    keep_ticked([])
    nothing_matches(len(rows))
undo_line(store)
if ticked:
    run_actions(ticked)
    compare_runs(ticked)
import_panel()
trash_panel(store)
follow(rows)
