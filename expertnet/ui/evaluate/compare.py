"""Compare: two networks on the same images, and the images on which they disagree."""

from functools import lru_cache

import streamlit as st

from expertnet.evaluation.compare import Pair, disagreements, in_common_text, pair, same_images
from expertnet.findings.duel import difference, difference_by_class
from expertnet.inference.predictor import load_predictor
from expertnet.store.checkpoints import Checkpoint
from expertnet.store.index import row_labels, rows_of
from expertnet.store.run import Run
from expertnet.ui.evaluate.images import open_images
from expertnet.ui.evaluate.subject import Answers, Subject, images_of, outputs_of
from expertnet.ui.finding import show
from expertnet.ui.run_picker import asked_second, offered_others, pick_second
from expertnet.utils.text import escape

# Comparing pixels takes a while, and findings are cached by the outputs that this returns.
_pair = lru_cache(maxsize=2)(pair)


def compare_view(subject: Subject) -> None:
    other = subject.other
    if other is None:
        return
    checkpoint = other.checkpoints.present()[0]
    found = _paired(subject, other, checkpoint)
    if found is None:
        return
    first, outputs = found.first, found.second
    second = Answers(other, checkpoint, load_predictor(other, checkpoint, threads=1), found.spread)
    left, right = st.columns(2, gap="large")
    with left:
        labels = row_labels(rows_of([subject.run, other]))
        st.caption(f"First: {escape(labels[subject.run.id])}. Second: {escape(labels[other.id])}.")
        show(difference(first, outputs))
        st.subheader("By class")
        show(difference_by_class(first, outputs, subject.classes))
    with right:
        st.subheader("Images on which they disagree")
        groups = {name: found.places[rows] for name, rows in disagreements(first, outputs).items()}
        titles = {name: f"{name[0].upper()}{name[1:]} ({len(places):,})" for name, places in groups.items()}
        group = st.selectbox(
            "Images", list(groups), format_func=titles.__getitem__, key="group", label_visibility="collapsed"
        )
        if len(groups[group]):
            order = "the most confident first"
            open_images(subject, groups[group].tolist(), f"{other.id} {group}", order, second)
        else:
            st.caption("No images.")


def _paired(subject: Subject, other: Run, checkpoint: Checkpoint) -> Pair | None:
    """Return what both networks say about the images that both have; None after saying what is missing."""
    if same_images(subject.run, other, subject.part):
        outputs = outputs_of(other, checkpoint, subject.part, subject.split)
        return _pair(subject.outputs, outputs) if outputs is not None else None
    split = images_of(other, subject.part) if subject.split is not None else None
    if subject.split is None or split is None:
        st.caption("These two runs may have different images, so comparing them needs the images of both.")
        return None
    outputs = outputs_of(other, checkpoint, subject.part, split)
    if outputs is None:
        return None
    found = _pair(subject.outputs, outputs, (subject.split, split))
    if not len(found.places):
        st.info(f"These two runs have no {subject.part} images in common. Choose another run.", icon=":material/info:")
        return None
    if not found.is_all:  # else they only come in another order
        st.caption(in_common_text(found))
    return found


def asked_other(subject: Subject) -> Run | None:
    """Return the second run in the URL if its answers can be compared with these, else None."""
    return asked_second(subject.run, "images_kind", *_conditions(subject))


def _conditions(subject: Subject) -> tuple[str, ...]:
    return () if subject.part == "test" else ("NOT watches_test",)


def pick_other(subject: Subject) -> Run | None:
    """Ask for the second run, stored in the URL, at first one with the same images; None if no run has the same classes."""
    others = offered_others(subject.run, "images_kind", *_conditions(subject))
    if not others:
        st.info(
            "No other trained network has the same classes and image size. Train a second one on this dataset.",
            icon=":material/info:",
        )
        return None
    alike = {run_id: row for run_id, row in others.items() if same_images(subject.run, row.run, subject.part)}
    return pick_second(others, "other classes or another image size", alike)
