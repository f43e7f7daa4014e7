"""The choice of a trained run to start from, and what it gains few images."""

import streamlit as st

from expertnet.errors import RunError
from expertnet.settings.fields import build_settings, field_of, flat
from expertnet.store.index import READABLE, open_index, row_labels
from expertnet.store.run_store import RunStore
from expertnet.training.controls import TAG
from expertnet.ui.run_picker import offered_runs
from expertnet.ui.train.values import Form, current_form, widget_key
from expertnet.utils.text import counted

KEY = "model.start_from"
FROZEN = "training.frozen_epochs"
SHARE = 0.8  # of the epochs, in which only the classifier learns
FEW = 200  # images of a class, below which the gain is named
GAIN = (
    "With few images, choose a network that was trained on images of the same kind. In 9 of 10 runs with 40 photos of each of 3 "
    "classes, accuracy rose; on average by 7 points, from 70% to 77%."  # of all 10: python -m benchmarks.few_images
)


def start_field(form: Form, images_per_class: int | None = None) -> None:
    """Draw the choice. Choosing a run also takes over its settings of the network and its image size, without which it would not fit."""
    chosen = form.settings[KEY]
    usable = (READABLE, "epoch > 0", "damage IS NULL")
    offered = offered_runs(st.container(), open_index(RunStore()), chosen, "start", *usable, without_tag=TAG)
    labels = row_labels(list(offered.values()))
    if not labels and not chosen:
        return
    options = ["", *labels, *([chosen] if chosen and chosen not in labels else [])]

    def label(run_id: str) -> str:
        return labels.get(run_id, f"run {run_id}") if run_id else "Random weights"

    widget = widget_key(KEY)

    def choose() -> None:
        _take_over(st.session_state[widget])

    help = f"{field_of(KEY).help} Choosing a run also sets these. `{KEY}`"
    st.selectbox(field_of(KEY).label, options, options.index(chosen), label, key=widget, help=help, on_change=choose)
    frozen = form.settings[FROZEN]
    if chosen and frozen:
        epochs = counted(frozen, "epoch")
        st.caption(f"Only the classifier learns in the first {epochs} (“Frozen epochs”), then the whole network.")
    elif images_per_class is not None and images_per_class < FEW:
        st.caption(f":material/lightbulb: {GAIN}")


def _take_over(run_id: str) -> None:
    """Put a run to start from into the form, with its network, and freeze it for most epochs; without one, go back to the preset."""
    form = current_form()
    try:
        source = RunStore().get(run_id).settings() if run_id else build_settings(form.preset)
    except RunError as error:  # it was deleted since the page was drawn
        form.url_problem = str(error)
        return
    taken = {key: value for key, value in flat(source).items() if key.startswith("model.") or key == "data.image_size"}
    frozen = round(SHARE * form.settings["training.epochs"]) if run_id else source.training.frozen_epochs
    form.settings |= taken | {KEY: run_id, FROZEN: frozen}
    form.generation += 1
