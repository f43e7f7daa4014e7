"""Classify images, and show the answers: one large with its charts, and with several images, tiles and a table."""

from collections.abc import Hashable, Sequence
from dataclasses import asdict
from typing import Any

import pandas as pd
import streamlit as st
from torch import Tensor

from expertnet.charts.base import specification
from expertnet.charts.heatmaps import routing_heatmap
from expertnet.charts.predictions import probability_bars
from expertnet.errors import ImageError
from expertnet.inference.predictor import Classification, Predictor
from expertnet.inference.unlike import unlike_training
from expertnet.routing.weights import weights_table
from expertnet.store.checkpoints import Checkpoint
from expertnet.store.run import Run
from expertnet.ui import shell
from expertnet.ui.chart import show_chart
from expertnet.ui.filmstrip import filmstrip
from expertnet.ui.predict.sources import INVERT, Given
from expertnet.utils.text import escape, percent, to_csv

TILES = 48
CACHE = "answers of Predict"  # in the session: the answers for the current images

Answer = tuple[Tensor, Classification] | str  # the image (3, S, S) as the network sees it, or why it cannot be read


def classify(run: Run, checkpoint: Checkpoint, predictor: Predictor, given: Sequence[Given]) -> list[Answer]:
    """Return the answer for each image. Only new images are decoded and classified."""
    keys = [(run.id, checkpoint, predictor.epoch, each.key) for each in given]
    cached = st.session_state.get(CACHE, {})
    answers: dict[Hashable, Answer] = {key: cached[key] for key in keys if key in cached}
    images: dict[Hashable, Tensor] = {}
    for key, each in zip(keys, given, strict=True):
        if key not in answers:
            try:
                images[key] = each.load()
            except ImageError as error:
                answers[key] = str(error)
    for new, classification in zip(images, predictor.classify(list(images.values())), strict=True):
        answers[new] = images[new], classification
    st.session_state[CACHE] = answers
    return [answers[key] for key in keys]


def show_unreadable(given: Sequence[Given], answers: Sequence[Answer]) -> None:
    """Name the files that cannot be read, with the reason."""
    for each, answer in zip(given, answers, strict=True):
        if isinstance(answer, str):
            st.error(f"**{escape(each.name)}**: {escape(answer)}", icon=":material/broken_image:")


def pick_tile(given: Sequence[Given], answers: Sequence[Answer]) -> tuple[Given, Tensor, Classification] | None:
    """Return the image to show large: the only one, or the one that the user chose among the tiles."""
    read = [(each, *answer) for each, answer in zip(given, answers, strict=True) if not isinstance(answer, str)]
    if len(read) < 2:
        return read[0] if read else None
    labels = [classification.predictions[0].label for _, _, classification in read[:TILES]]
    names = [f"{each.name}: {label}" for (each, _, _), label in zip(read, labels, strict=False)]
    picked = filmstrip("Images", [image for _, image, _ in read[:TILES]], labels, names, "tile")
    if len(read) > TILES:
        st.caption(f"The first {TILES} images are shown. All {len(given)} files are in the table.")
    return read[picked]


def show_answer(run: Run, predictor: Predictor, given: Given, image: Tensor, classification: Classification) -> None:
    """Show an image as the network sees it, with the answer, its probabilities and its routing."""
    best = classification.predictions[0]
    with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
        st.image(image.permute(1, 2, 0).numpy(), width=112, alt=f"The image {given.name}, as the network sees it")
        with st.container(width="stretch", gap="xsmall"):
            st.subheader(f"Answer: {escape(best.label)} ({percent(best.probability)})", anchor=False)
            st.caption(escape(given.note or given.name))
            if given.place is not None and classification.routing.shape[1] > 1:
                shell.link("experts", "See routing", run.id, image=str(given.place + 1))
    _notice(predictor, given, image)
    left, right = st.columns(2, gap="medium")
    bars = probability_bars(pd.DataFrame([asdict(prediction) for prediction in classification.predictions]))
    show_chart(specification(bars), "bars", left)
    if classification.routing.shape[1] > 1:
        heatmap = routing_heatmap(weights_table(classification.routing))
        right.markdown("**Routing weights**")
        show_chart(specification(heatmap), "heat", right)


def _notice(predictor: Predictor, given: Given, image: Tensor) -> None:
    """Say if an image that is not from the test set is unlike the training images."""
    unlike = unlike_training(image, predictor.info) if given.place is None else None
    if unlike is None:
        return

    def swap() -> None:
        st.session_state[INVERT] = not given.inverted

    with st.container(horizontal=True, vertical_alignment="center"):
        st.warning(unlike.sentence, icon=":material/contrast:")
        if unlike.invert and given.inverted is not None:
            st.button("Invert light and dark", icon=":material/invert_colors:", on_click=swap)


def show_table(classes: Sequence[str], given: Sequence[Given], answers: Sequence[Answer]) -> None:
    """Show the answers for all files as a table, and offer all probabilities as a file."""
    rows: list[dict[str, Any]] = []
    for each, answer in zip(given, answers, strict=True):
        if isinstance(answer, str):
            rows.append({"file": each.name, "error": answer})
            continue
        best, shares = answer[1].predictions[0], answer[1].probabilities.tolist()
        columns = {f"P({label})": share for label, share in zip(classes, shares, strict=True)}
        rows.append({"file": each.name, "class": best.label, "probability": best.probability, **columns})
    table = pd.DataFrame(rows)
    st.dataframe(
        table[[name for name in ("file", "class", "probability", "error") if name in table]],
        hide_index=True,
        width="stretch",
        placeholder="–",
        alt="The files with their most likely class",
        column_config={"probability": st.column_config.ProgressColumn(format="percent", min_value=0, max_value=1)},
    )
    st.download_button(
        "Download all probabilities (CSV)", to_csv(table), "predictions.csv", "text/csv", icon=":material/download:"
    )
