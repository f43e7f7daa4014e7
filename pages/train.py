"""Train: set up a run, start it and watch it. A run in view takes the place of the form."""

import streamlit as st

from expertnet.ui import shell
from expertnet.ui.train.form import settings_form
from expertnet.ui.train.live import live_view, run_in_view
from expertnet.ui.train.queue import queue_panel, watch_queue
from expertnet.ui.train.start import start_panel
from expertnet.ui.train.values import write_url
from expertnet.utils.text import escape

shell.require()
run = run_in_view()
shell.training_strip(run.id if run else None, watched=True)
head = st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute")
head.header("Train" if run is None else escape(run.title), width="content")
tools = head.container(horizontal=True, width="content")
queue_changed = queue_panel(tools, run)
if run is None:
    st.caption(
        "Train a small network whose blocks hold several experts, and see how much each expert counts for every image."
    )
    entered = settings_form()
    news = start_panel(entered.settings, entered.problem)
    watch_queue(lambda: queue_changed() or news())
else:
    live_view(run, tools, queue_changed)
write_url(tabs=run is not None and not run.status().active)
