"""The images behind a cell of the confusion matrix, a class or an answer, each with its probabilities and its routing."""

import math
from collections.abc import Sequence
from typing import Any

import streamlit as st

from expertnet.charts.base import specification
from expertnet.charts.heatmaps import routing_heatmap
from expertnet.charts.predictions import probability_bars
from expertnet.routing.weights import weights_table
from expertnet.ui import shell
from expertnet.ui.chart import show_chart
from expertnet.ui.evaluate.relabel import relabel
from expertnet.ui.evaluate.subject import Answers, Subject
from expertnet.ui.filmstrip import filmstrip
from expertnet.ui.style import room_key
from expertnet.utils.text import counted, escape, percent

ANY_CLASS, ANY_ANSWER, WRONG = "Any class", "Any answer", "Wrong answers"
CLASS, ANSWER = "class", "answer"  # widgets and query keys
STRIP = 12  # images at a time
NUMBERS = 30  # of images that are not on this computer
WIDTH = 112  # pixels of the image shown large


def choose_cell(cell: dict[str, Any]) -> None:
    """Open the images of a cell of the confusion matrix, or of a row of the table of classes."""
    if cell:
        st.session_state[CLASS] = cell["class"]
        st.session_state[ANSWER] = cell.get("answer", ANY_ANSWER)


def images_panel(subject: Subject) -> None:
    """Ask for a class and an answer, and show their images, those that the network disagrees with most first."""
    classes, outputs = subject.classes, subject.outputs
    row = st.container(horizontal=True, vertical_alignment="bottom", key=room_key("labelled"))
    label = row.selectbox("Class", [ANY_CLASS, *classes], key=CLASS, bind="query-params", width=170)
    answers = [ANY_ANSWER, WRONG, *classes]
    answer = row.selectbox("Answer", answers, index=1, key=ANSWER, bind="query-params", width=170)
    places = outputs.places(
        None if label == ANY_CLASS else classes.index(label),
        None if answer in (ANY_ANSWER, WRONG) else classes.index(answer),
        answer == WRONG,
    ).tolist()
    if not places:
        st.caption("No images.")
        return
    open_images(subject, places, f"{label} {answer}", "beginning with those whose label the network doubts most")


def open_images(subject: Subject, places: Sequence[int], of: str, order: str, other: Answers | None = None) -> None:
    """Show images (from 0) page by page, and one of them large with what the network says about it.

    `of` tells selections apart, each of which begins with its first image. `order` says how they are sorted. `other` is a second
    network to show beside the first.
    """
    row = st.container(horizontal=True, vertical_alignment="center")
    row.caption(f"{counted(len(places), f'{subject.part} image')}, {order}", width="content")
    if subject.split is None:
        numbers = ", ".join(str(place + 1) for place in places[:NUMBERS]) + (", …" if len(places) > NUMBERS else "")
        st.caption(f"The images are not on this computer. Their numbers: {numbers}.")
        return
    key, page = f"{subject.key} {of}", 1
    if len(places) > STRIP:
        with row:
            page = st.pagination(math.ceil(len(places) / STRIP), max_visible_pages=0, key=f"page {key}")
    shown = places[(page - 1) * STRIP : page * STRIP]
    answers = [subject, *([other] if other else [])]
    captions = [" / ".join(each.answer(place) for each in answers) for place in shown]
    names = [f"{subject.image(place)}, answer {caption}" for place, caption in zip(shown, captions, strict=True)]
    images = [subject.split.images[place] for place in shown]
    picked = filmstrip("Images", images, captions, names, f"strip {key} {page}")
    _large(subject, shown[picked], answers)


def _large(subject: Subject, place: int, answers: Sequence[Answers]) -> None:
    assert subject.split is not None
    two = len(answers) == 2
    with st.container(horizontal=True, vertical_alignment="center", gap="medium", key=room_key("large")):
        title = subject.image(place)
        st.image(subject.split.images[place].permute(1, 2, 0).numpy(), width=WIDTH, alt=title)
        with st.container(width="stretch", gap="xsmall"):
            st.markdown(f"**{escape(title)}**")
            for each, said in zip(
                answers, ("Answer of the first", "Answer of the second") if two else ("Answer",), strict=True
            ):
                st.markdown(f"{said}: {escape(each.answer(place))} ({percent(each.probability(place))})")
            if subject.part == "test":
                shell.link("experts", "See routing", subject.run.id, image=str(place + 1))
            relabel(subject, place)
    for number, each in enumerate(answers):
        left, right = st.columns(2, gap="medium")
        if two:
            left.caption("Second network" if number else "First network")
        show_chart(specification(probability_bars(each.likeliest(place))), f"bars {number}", left)
        if each.outputs.routing.shape[2] > 1:
            right.caption("Routing weights")
            weights = weights_table(each.outputs.routing[place], each.blocks)
            show_chart(specification(routing_heatmap(weights)), f"heat {number}", right)
