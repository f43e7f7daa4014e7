"""Sweep: search for good settings with many short runs."""

import streamlit as st

from expertnet.store.run_store import RunStore
from expertnet.sweeps.driver import driver
from expertnet.sweeps.study import require_optuna
from expertnet.sweeps.sweep import all_sweeps
from expertnet.ui import shell
from expertnet.ui.sweep.choice import pick_sweep, sweep_in_view
from expertnet.ui.sweep.form import sweep_form
from expertnet.ui.sweep.live import live_view
from expertnet.utils.text import escape

shell.require()
store = RunStore()
sweeps = all_sweeps(store)
sweep = sweep_in_view(sweeps)
head = st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute")
head.header("Sweep" if sweep is None else escape(sweep.title), width="content")
pick_sweep(head.container(horizontal=True, width="content"), sweeps, sweep)
with shell.shown_error():
    require_optuna()
    driver(store)
    if sweep is None:
        st.caption("Train many short runs with different settings, and see which of them matter.")
        sweep_form()
    else:
        live_view(sweep)
