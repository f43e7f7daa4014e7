"""The Experts page: how images are routed, what each expert has learned, and whether routing matters."""

from collections.abc import Callable

import streamlit as st

from expertnet.routing.lab import Lab
from expertnet.ui import shell
from expertnet.ui.experts.classes import classes_view
from expertnet.ui.experts.compare import compare_view
from expertnet.ui.experts.experts import experts_view
from expertnet.ui.experts.one_image import one_image_view
from expertnet.ui.experts.selection import Selection, cached_lab, lab_of, open_selection, with_lab
from expertnet.ui.experts.through_training import through_training_view
from expertnet.ui.experts.train_controls import controls_view
from expertnet.ui.experts.verdict import verdict_card
from expertnet.ui.experts.what_if import what_if_view
from expertnet.ui.run_picker import pick_run
from expertnet.ui.views import pick_view

VIEWS: dict[str, Callable[[Selection, Lab | None], None]] = {
    "One image": one_image_view,
    "Classes": with_lab(classes_view),
    "Each expert": with_lab(experts_view),
    "What if": what_if_view,
    "Controls": controls_view,
    "Through training": through_training_view,
    "Compare": with_lab(compare_view),
}
FORMER = {"experts": "Each expert"}  # a view should not have the name of its page

shell.require()
st.container(horizontal=True).header(
    "Experts",
    help="Each block mixes its experts with routing weights that it computes for every image. See these weights, what each "
    "expert has learned, and whether routing matters.",
    width="content",
)
header = st.container(horizontal=True, vertical_alignment="center", gap="small", key="header")
picked = pick_run(header, images=True)
if picked is None:
    st.stop()
title = pick_view(header, list(VIEWS), FORMER)
with shell.shown_error():
    selection = open_selection(*picked)
    if selection.predictor.settings.model.num_experts == 1:
        st.info(
            "This network has one expert per block, so there is nothing to route: every weight is 1.",
            icon=":material/info:",
        )
    lab = cached_lab(selection) if title == "Through training" else lab_of(selection)  # the view itself needs none
    if lab is not None and lab.num_experts > 1:
        verdict_card(selection, lab, title)
    VIEWS[title](selection, lab)
