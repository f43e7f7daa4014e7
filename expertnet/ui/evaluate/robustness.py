"""Robustness: what corruptions of the images cost, and what they do to the routing."""

import streamlit as st

from expertnet.data.splits import Split
from expertnet.evaluation.corruptions import CORRUPTIONS, STRENGTHS, corrupted
from expertnet.evaluation.robustness import Robustness, cached_robustness, measure_robustness
from expertnet.findings.robustness import corruptions, corruptions_by_class, routing_under_corruption
from expertnet.ui.background import in_background, threads
from expertnet.ui.evaluate.subject import Subject
from expertnet.ui.finding import show
from expertnet.ui.style import room_key
from expertnet.utils.text import escape

UNASKED = 10.0  # seconds that measuring may take without a press on the button
WIDTH = 96  # pixels of an example


def robustness_view(subject: Subject) -> None:
    if subject.split is not None:
        _examples(subject, subject.split)
    found = _measured(subject)
    if found is None:
        return
    left, right = st.columns(2, gap="large")
    with left:
        st.subheader("Accuracy")
        show(corruptions(found, subject.blocks))
    with right:
        if subject.outputs.routing.shape[2] > 1:
            st.subheader("Routing")
            show(routing_under_corruption(found, subject.blocks))
    st.subheader("By class")
    show(corruptions_by_class(found, subject.classes))


def _measured(subject: Subject) -> Robustness | None:
    run, part, checkpoint = subject.run, subject.part, subject.checkpoint
    found = cached_robustness(run, part, checkpoint)
    if found is not None:
        return found
    if subject.split is None:
        st.caption("This needs the images, which are not on this computer.")
        return None
    unasked = 0.0 if run.status().training else UNASKED  # whose results are not kept
    measured: Robustness | None = in_background(
        ("robustness", *subject.key),
        "Measure the accuracy with corruptions",
        lambda progress, cancelled: measure_robustness(run, part, checkpoint, progress, cancelled, threads()),
        unasked,
    )
    return measured


def _examples(subject: Subject, split: Split) -> None:
    """Show one image with each corruption, and what the network says about it."""
    row = st.container(horizontal=True, vertical_alignment="bottom", key=room_key("labelled"))
    number = int(row.number_input("Image", 1, len(split), step=1, key="image", bind="query-params", width=120))
    strength = row.select_slider("Strength", STRENGTHS, STRENGTHS[-1], key="strength", bind="query-params", width=200)
    image = split.images[number - 1][None]
    tiles = {"as it is": image} | {name: corrupted(image, name, strength) for name in CORRUPTIONS}
    with st.container(horizontal=True, gap="small", key=room_key("corrupted")):
        for name, tile in tiles.items():
            answer = subject.predictor.classify(tile, 1)[0].predictions[0].label
            pixels, caption = tile[0].permute(1, 2, 0).numpy(), f"{name[0].upper()}{name[1:]}: {escape(answer)}"
            st.image(pixels, caption, WIDTH, alt=f"{subject.image(number - 1)}, {name}")
