"""The Evaluate page: how well a network does on its validation or test images, and which images each figure is made of."""

from collections.abc import Callable
from dataclasses import replace

import streamlit as st

from expertnet.findings.results import caveat
from expertnet.ui import shell
from expertnet.ui.evaluate.calibration import calibration_view
from expertnet.ui.evaluate.compare import asked_other, compare_view, pick_other
from expertnet.ui.evaluate.results import results_view
from expertnet.ui.evaluate.robustness import robustness_view
from expertnet.ui.evaluate.subject import Subject, open_subject, pick_part, report_button
from expertnet.ui.run_picker import pick_run
from expertnet.ui.views import pick_view

VIEWS: dict[str, Callable[[Subject], None]] = {
    "Results": results_view,
    "Calibration": calibration_view,
    "Robustness": robustness_view,
    "Compare": compare_view,
}

shell.require()
st.container(horizontal=True).header(
    "Evaluate",
    help="How well a network does on images that it was not trained on, and which images it gets wrong.",
    width="content",
)
header = st.container(horizontal=True, vertical_alignment="center", gap="small", key="header")
picked = pick_run(header)
if picked is None:
    st.stop()
title = pick_view(header, list(VIEWS))
with shell.shown_error():
    part = pick_part(header, picked[0])
    if said := caveat(picked[0], part):
        st.caption(said)
    subject = open_subject(*picked, part)
    if subject is not None:
        subject = replace(subject, other=pick_other(subject) if title == "Compare" else asked_other(subject))
        report_button(header, subject)
        VIEWS[title](subject)
