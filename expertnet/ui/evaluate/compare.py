"""Compare: two networks on the same images, and the images on which they disagree."""

import streamlit as st

from expertnet.evaluation.compare import disagreements, same_images
from expertnet.findings.duel import difference, difference_by_class
from expertnet.inference.predictor import load_predictor
from expertnet.store.checks import has_network
from expertnet.store.index import row_labels, rows_of
from expertnet.store.run import Run
from expertnet.store.run_store import RunStore
from expertnet.ui.evaluate.images import open_images
from expertnet.ui.evaluate.subject import Answers, Subject, outputs_of
from expertnet.ui.finding import show
from expertnet.ui.run_picker import pick_second
from expertnet.utils.text import escape


def compare_view(subject: Subject) -> None:
    other = _pick_other(subject)
    if other is None:
        return
    checkpoint = other.checkpoints.present()[0]
    outputs = outputs_of(other, checkpoint, subject.part, subject.split)
    if outputs is None:
        return
    second = Answers(other, checkpoint, load_predictor(other, checkpoint, threads=1), outputs)
    left, right = st.columns(2, gap="large")
    with left:
        labels = row_labels(rows_of([subject.run, other]))
        st.caption(f"First: {escape(labels[subject.run.id])}. Second: {escape(labels[other.id])}.")
        show(difference(subject.outputs, outputs))
        st.subheader("By class")
        show(difference_by_class(subject.outputs, outputs, subject.classes))
    with right:
        st.subheader("Images on which they disagree")
        groups = disagreements(subject.outputs, outputs)
        titles = {name: f"{name[0].upper()}{name[1:]} ({len(places):,})" for name, places in groups.items()}
        group = st.selectbox(
            "Images", list(groups), format_func=titles.__getitem__, key="group", label_visibility="collapsed"
        )
        if len(groups[group]):
            order = "those of which both networks are surest first"
            open_images(subject, groups[group].tolist(), f"{other.id} {group}", order, second)
        else:
            st.caption("No images.")


def _pick_other(subject: Subject) -> Run | None:
    """Ask for the second run, stored in the URL; None if no run has the same images."""
    others = {
        run.id: run
        for run in RunStore().list()
        if run.id != subject.run.id and has_network(run) and same_images(subject.run, run, subject.part)
    }
    if not others:
        hint = "Choose the test images, or train one with the same seed." if subject.part == "validation" else ""
        st.info(
            f"No other trained network has the same {subject.part} images. {hint or 'Train a second one on this dataset.'}",
            icon=":material/info:",
        )
        return None
    return pick_second(others, "other images")
