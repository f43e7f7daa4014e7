"""The routing lab: where a network of experts sends its images, and whether it matters."""

from collections.abc import Callable
from typing import Any

import streamlit as st

from expertnet.ui import shell
from expertnet.ui.experts.classes import classes_view
from expertnet.ui.experts.common import Chosen, lab_of, open_chosen
from expertnet.ui.experts.compare import compare_view
from expertnet.ui.experts.experts import experts_view
from expertnet.ui.experts.one_image import one_image_view
from expertnet.ui.experts.through_training import through_training_view
from expertnet.ui.experts.what_if import what_if_view
from expertnet.ui.run_picker import pick_run
from expertnet.utils.text import escape

VIEWS: dict[
    str, tuple[Callable[[Chosen, Any], None], bool]
] = {  # title: (the view, whether it is of the whole test set alone)
    "One image": (one_image_view, False),
    "Classes": (classes_view, True),
    "Experts": (experts_view, True),
    "What if": (what_if_view, False),
    "Through training": (through_training_view, False),
    "Compare": (compare_view, True),
}

shell.require()
st.header("Experts")
st.caption(
    "Every block weighs its experts anew for each image. Here is how, what each has learned, and whether it matters."
)
picked = pick_run(images=True)
if picked is None:
    st.stop()
with shell.shown_error():
    chosen = open_chosen(*picked)
    if chosen.predictor.settings.model.num_experts == 1:
        st.info(
            "This network has one expert in each block, so there is nothing to route: every weight is 1.",
            icon=":material/info:",
        )
    asked = st.query_params.get("view", "One image")
    if asked not in VIEWS:
        shell.toast(f"There is no view “{escape(asked[:80])}”; this is the first one.")
    title = st.segmented_control(
        "View", list(VIEWS), default="One image", required=True, key="view", bind="query-params"
    )
    view, whole = VIEWS[title]
    lab = lab_of(chosen) if title != "Through training" else None
    if lab is not None or not whole:
        view(chosen, lab)
