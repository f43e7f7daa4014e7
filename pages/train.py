"""Train: set up a run, start it and watch it."""

import streamlit as st

from expertnet.ui import shell
from expertnet.ui.train.form import settings_form, start_panel
from expertnet.ui.train.live import live_view, run_in_view
from expertnet.ui.train.queue import queue_panel, watch_queue
from expertnet.ui.train.summary import summary
from expertnet.ui.train.values import write_url
from expertnet.utils.text import escape

shell.require()

run = run_in_view()
shell.training_strip(run.id if run else None)
left, right = st.columns([2, 3], gap="large")
with left:
    st.header("Train")
    settings, problem = settings_form()
    start_panel(settings, problem)
    queue_changed = queue_panel()
with right:
    if run is not None:
        live_view(run, queue_changed)
        st.divider()
    else:
        watch_queue(queue_changed)
    st.subheader("Network and cost")
    if settings is not None:
        summary(settings)
    else:
        st.warning(escape(problem), icon=":material/block:")
write_url()
