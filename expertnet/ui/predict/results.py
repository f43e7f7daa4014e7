"""Classify uploads, and show the answers: a card with charts for the first images, and a table of all files."""

from collections.abc import Hashable, Sequence
from dataclasses import asdict
from typing import Any

import pandas as pd
import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile
from torch import Tensor

from expertnet.charts.base import specification
from expertnet.charts.heatmaps import routing_heatmap
from expertnet.charts.predictions import probability_bars
from expertnet.data.images import load_image
from expertnet.errors import ImageError
from expertnet.inference.predictor import Classification, Predictor
from expertnet.routing.weights import weights_table
from expertnet.store.checkpoints import Checkpoint
from expertnet.store.run import Run
from expertnet.utils.text import escape, percent, to_csv

CARDS = 12
CACHE = "answers of Predict"  # in the session: the answers for the current uploads

Answer = tuple[Tensor, Classification] | str  # the image (3, S, S) as the network sees it, or why it cannot be read


def classify_uploads(
    run: Run, checkpoint: Checkpoint, predictor: Predictor, files: Sequence[UploadedFile]
) -> list[Answer]:
    """Return the answer for each upload. Only new uploads are decoded and classified."""
    keys = [(run.id, checkpoint, predictor.epoch, file.file_id) for file in files]
    cached = st.session_state.get(CACHE, {})
    answers: dict[Hashable, Answer] = {key: cached[key] for key in keys if key in cached}
    images: dict[Hashable, Tensor] = {}
    for key, file in zip(keys, files, strict=True):
        if key not in answers:
            try:
                images[key] = load_image(file.getvalue(), predictor.image_size)
            except ImageError as error:
                answers[key] = str(error)
    for new, classification in zip(images, predictor.classify(list(images.values())), strict=True):
        answers[new] = images[new], classification
    st.session_state[CACHE] = answers
    return [answers[key] for key in keys]


def show_results(classes: Sequence[str], names: Sequence[str], answers: Sequence[Answer]) -> None:
    """Show the answers for the files with these names, in the same order."""
    rows: list[dict[str, Any]] = []
    cards = 0
    for name, answer in zip(names, answers, strict=True):
        if isinstance(answer, str):
            st.error(f"**{escape(name)}**: {escape(answer)}", icon=":material/broken_image:")
            rows.append({"file": name, "error": answer})
            continue
        image, classification = answer
        best, shares = classification.predictions[0], classification.probabilities.tolist()
        each = {f"P({label})": share for label, share in zip(classes, shares, strict=True)}
        rows.append({"file": name, "class": best.label, "probability": best.probability, **each})
        cards += 1
        if cards <= CARDS:
            _card(cards, name, image, classification)
    if cards > CARDS:
        st.caption(f"The first {CARDS} images are shown with charts. All {len(names)} files are in the table.")
    _table(pd.DataFrame(rows))


def _card(number: int, name: str, image: Tensor, classification: Classification) -> None:
    best = classification.predictions[0]
    with st.container(border=True):
        left, middle, right = st.columns([2, 5, 5], gap="medium")
        left.image(image.permute(1, 2, 0).numpy(), width="stretch", caption=escape(name), alt=f"The image {name}")
        middle.markdown(f"Answer: **{escape(best.label)}** ({percent(best.probability)})")
        bars = probability_bars(pd.DataFrame([asdict(prediction) for prediction in classification.predictions]))
        middle.vega_lite_chart(spec=specification(bars), width="stretch", key=f"bars {number}")
        if classification.routing.shape[1] > 1:
            right.markdown("**Routing weights**")
            heatmap = routing_heatmap(weights_table(classification.routing))
            right.vega_lite_chart(spec=specification(heatmap), width="stretch", key=f"heat {number}")


def _table(table: pd.DataFrame) -> None:
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
