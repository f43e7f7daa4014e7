"""Through training: how the routing developed over the epochs. The view updates while the run trains."""

import streamlit as st

from expertnet.findings import classes, experts, through_training
from expertnet.inference.predictor import load_predictor
from expertnet.routing.lab import Lab
from expertnet.store.status import ACTIVE_STATES
from expertnet.ui.auth import login
from expertnet.ui.experts.controls import pick_block, pick_number, pick_option
from expertnet.ui.experts.selection import Selection, lab_of
from expertnet.ui.finding import show
from expertnet.ui.views import segments_width

TICK = 5.0  # seconds between updates
FIGURES: dict[str, str | None] = {  # name: column of `training_curve`, None for the usage in one block
    **{name[0].upper() + name[1:]: column for column, (name, _, _) in through_training.CURVES.items()},
    "Usage of each expert": None,
}


def through_training_view(selection: Selection, lab: Lab | None) -> None:
    run = selection.run

    def curves() -> None:
        column = pick_option("Figure", FIGURES, "figure", label_visibility="collapsed", width=segments_width(FIGURES))
        metrics, watched = run.metrics(), run.watched_images
        if column is None:
            finding = through_training.training_utilization(metrics, pick_block(selection.blocks), watched)
        else:
            finding = through_training.training_curve(metrics, column, watched)
        if finding is None:
            st.info("The history of this run has no routing figures. They appear after the first epoch.")
        else:
            show(finding)

    login.fragment(curves, run_every=TICK if run.state in ACTIVE_STATES else None)()
    _saved_epochs(selection)


def _saved_epochs(selection: Selection) -> None:
    """Show the routing of the test set with the weights of an earlier epoch."""
    st.subheader("Earlier checkpoints")
    checkpoints = selection.run.checkpoints.saved_epochs()
    if not checkpoints:
        st.caption("This run saved no extra checkpoints. To save them, use the setting “Save a checkpoint every”.")
        return
    epochs = list(checkpoints)
    epoch = pick_number("Epoch", epochs, epochs[-1], "epoch") if len(epochs) > 1 else epochs[0]
    checkpoint = checkpoints[epoch]
    predictor = load_predictor(selection.run, checkpoint, threads=1)
    lab = lab_of(Selection(selection.run, checkpoint, predictor, selection.split))
    if lab is not None:
        left, right = st.columns(2, gap="large")
        with left:
            show(experts.utilization(lab))
        with right:
            show(classes.classes(lab, pick_block(selection.blocks, "epoch block")))
