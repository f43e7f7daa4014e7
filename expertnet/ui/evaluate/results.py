"""Results: the figures of the network, its confusion matrix with the images behind every cell, and the figures of each class."""

import streamlit as st

from expertnet.evaluation.figures import figures
from expertnet.findings.confusion import confusion
from expertnet.findings.results import by_class, overall
from expertnet.ui.evaluate.images import choose_cell, images_panel
from expertnet.ui.evaluate.subject import Subject
from expertnet.ui.finding import show
from expertnet.ui.style import room_key
from expertnet.utils.text import percent


def results_view(subject: Subject) -> None:
    found = figures(subject.outputs)
    with st.container(horizontal=True, gap="large", key=room_key(f"intervals {len(found)}")):
        for name, figure in found.items():
            interval = f"{percent(figure.low)} to {percent(figure.high)}"
            images = f" on {subject.part} images" if name == "accuracy" else ""
            st.metric(
                f"{name[0].upper()}{name[1:]}{images}",
                percent(figure.value),
                interval,
                delta_color="off",
                delta_arrow="off",
                width="content",
                help="With its 95% interval. The method is below the table of classes.",
            )
    left, right = st.columns(2, gap="large")
    with left:
        shares = st.toggle("Shares of each class", key="shares", bind="query-params")
        show(confusion(subject.outputs, subject.classes, subject.part, shares), clicked=choose_cell)
    with right:
        images_panel(subject)
    left, right = st.columns([2, 1], gap="large")
    with left:
        st.subheader("By class")
        show(by_class(subject.outputs, subject.classes), clicked=choose_cell)
    with right:
        st.subheader("Overall")
        show(overall(subject.outputs))
