"""Compare: two networks on the same images, and the images on which they disagree."""

import streamlit as st
import torch
from torch import Tensor

from expertnet.evaluation.compare import disagreements, in_common, same_images, spread
from expertnet.evaluation.outputs import Outputs
from expertnet.findings.duel import difference, difference_by_class
from expertnet.inference.predictor import load_predictor
from expertnet.store.checkpoints import Checkpoint
from expertnet.store.index import row_labels, rows_of
from expertnet.store.run import Run
from expertnet.ui.evaluate.images import open_images
from expertnet.ui.evaluate.subject import Answers, Subject, images_of, outputs_of
from expertnet.ui.finding import show
from expertnet.ui.run_picker import offered_others, pick_second
from expertnet.utils.text import counted, escape


def compare_view(subject: Subject) -> None:
    other = _pick_other(subject)
    if other is None:
        return
    checkpoint = other.checkpoints.present()[0]
    matched = _matched(subject, other, checkpoint)
    if matched is None:
        return
    first, outputs, places = matched
    second = Answers(
        other, checkpoint, load_predictor(other, checkpoint, threads=1), spread(outputs, places, subject.outputs)
    )
    left, right = st.columns(2, gap="large")
    with left:
        labels = row_labels(rows_of([subject.run, other]))
        st.caption(f"First: {escape(labels[subject.run.id])}. Second: {escape(labels[other.id])}.")
        show(difference(first, outputs))
        st.subheader("By class")
        show(difference_by_class(first, outputs, subject.classes))
    with right:
        st.subheader("Images on which they disagree")
        groups = {name: places[found] for name, found in disagreements(first, outputs).items()}
        titles = {name: f"{name[0].upper()}{name[1:]} ({len(places):,})" for name, places in groups.items()}
        group = st.selectbox(
            "Images", list(groups), format_func=titles.__getitem__, key="group", label_visibility="collapsed"
        )
        if len(groups[group]):
            order = "the most confident first"
            open_images(subject, groups[group].tolist(), f"{other.id} {group}", order, second)
        else:
            st.caption("No images.")


def _matched(subject: Subject, other: Run, checkpoint: Checkpoint) -> tuple[Outputs, Outputs, Tensor] | None:
    """Return what both networks say about the images that both have, and the places of these; None after saying what is missing."""
    if same_images(subject.run, other, subject.part):
        outputs = outputs_of(other, checkpoint, subject.part, subject.split)
        return (subject.outputs, outputs, torch.arange(len(outputs.labels))) if outputs is not None else None
    split = images_of(other, subject.part) if subject.split is not None else None
    if subject.split is None or split is None:
        st.caption("These two runs have different images, so comparing them needs the images of both.")
        return None
    outputs = outputs_of(other, checkpoint, subject.part, split)
    if outputs is None:
        return None
    mine, theirs = in_common(subject.split, split)
    if not len(mine):
        st.info(f"These two runs have no {subject.part} images in common. Choose another run.", icon=":material/info:")
        return None
    st.caption(
        f"The two runs do not have the same {subject.part} images. They are compared on {counted(len(mine), 'image')} that both have, "
        f"of {len(subject.split):,} and {len(split):,}. The classes are those of the first run."
    )
    labels = subject.outputs.labels[mine]
    return subject.outputs.only(mine, labels), outputs.only(theirs, labels), mine


def _pick_other(subject: Subject) -> Run | None:
    """Ask for the second run, stored in the URL, at first one with the same images; None if no run has the same classes."""
    conditions = () if subject.part == "test" else ("NOT watches_test",)
    others = offered_others(subject.run, "images_kind", *conditions)
    if not others:
        st.info(
            "No other trained network has the same classes and image size. Train a second one on this dataset.",
            icon=":material/info:",
        )
        return None
    alike = {run_id: row for run_id, row in others.items() if same_images(subject.run, row.run, subject.part)}
    return pick_second(others, "other classes or another image size", alike)
