"""Classify images: uploads or the camera."""

from dataclasses import asdict

import pandas as pd
import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile
from torch import Tensor

from expertnet.charts.heatmaps import routing_heatmap
from expertnet.charts.predictions import probability_bars
from expertnet.data.images import MAX_BYTES, load_image
from expertnet.errors import ImageError
from expertnet.inference.predictor import Classification, Predictor, load_predictor
from expertnet.routing.weights import weights_table
from expertnet.ui import shell
from expertnet.ui.run_picker import pick_run
from expertnet.utils.text import escape, percent, to_csv

shell.require()
SHOWN = 12  # images with charts; all are in the table
ANSWERS = "answers of Predict"  # in the session: those for the current uploads

Answer = tuple[Tensor, Classification] | str  # the fitted image and its classes, or what is wrong with the file


def classified(predictor: Predictor, network: tuple[str, str], files: list[UploadedFile]) -> list[Answer]:
    """Decode and classify each upload once per network; a rerun of the page reads the answers from the session."""
    keys: list[tuple[object, ...]] = [(*network, predictor.epoch, file.file_id) for file in files]
    before = st.session_state.get(ANSWERS, {})
    answers: dict[tuple[object, ...], Answer] = {key: before[key] for key in keys if key in before}
    images: dict[tuple[object, ...], Tensor] = {}
    for key, file in zip(keys, files, strict=True):
        if key not in answers:
            try:
                images[key] = load_image(file.getvalue(), predictor.image_size)
            except ImageError as error:
                answers[key] = str(error)
    fresh = predictor.classify(list(images.values()))
    for (key, image), answer in zip(images.items(), fresh, strict=True):
        answers[key] = image, answer
    st.session_state[ANSWERS] = answers
    return [answers[key] for key in keys]


st.header("Predict")
picked = pick_run("Network")
if picked is None:
    st.stop()
with shell.shown_error():
    predictor = load_predictor(*picked, threads=1)
    files = st.file_uploader("Images", accept_multiple_files=True, key="files", max_upload_size=MAX_BYTES // 2**20)
    if st.toggle("Camera", key="with camera"):
        shot = st.camera_input("Camera", key="camera", width=480, label_visibility="collapsed")
        files = [shot, *files] if shot else files
    if not files:
        known = escape(", ".join(predictor.classes[:20])) + (" and more" if len(predictor.classes) > 20 else "")
        st.caption(
            f"This network knows {len(predictor.classes)} classes: {known}. Each image is cropped to its middle "
            f"square and resized to {predictor.image_size} x {predictor.image_size} pixels."
        )
        st.stop()
    rows, shown = [], 0
    for file, found in zip(files, classified(predictor, (picked[0].id, picked[1]), files), strict=True):
        if isinstance(found, str):
            st.error(f"**{escape(file.name)}**: {escape(found)}", icon=":material/broken_image:")
            rows.append({"file": file.name, "error": found})
            continue
        image, answer = found
        best = answer.predictions[0]
        each = {f"P({name})": p for name, p in zip(predictor.classes, answer.probabilities.tolist(), strict=True)}
        rows.append({"file": file.name, "class": best.label, "probability": best.probability, **each})
        shown += 1
        if shown > SHOWN:
            continue
        with st.container(border=True):
            thumbnail, bars, heat = st.columns([2, 5, 5], gap="medium")
            name = escape(file.name)
            thumbnail.image(image.permute(1, 2, 0).numpy(), width="stretch", caption=name, alt=f"The image {file.name}")
            bars.markdown(f"**{escape(best.label)}**, {percent(best.probability)}")
            bars.altair_chart(
                probability_bars(pd.DataFrame([asdict(prediction) for prediction in answer.predictions])),
                width="stretch",
                key=f"bars {shown}",
            )
            if answer.routing.shape[1] > 1:
                heat.markdown("**Routing weights**")
                heat.altair_chart(routing_heatmap(weights_table(answer.routing)), width="stretch", key=f"heat {shown}")
    if shown > SHOWN:
        st.caption(f"The first {SHOWN} are shown; all {len(files)} are in the table.")
    table = pd.DataFrame(rows)
    st.dataframe(
        table[[name for name in ("file", "class", "probability", "error") if name in table]],
        hide_index=True,
        width="stretch",
        placeholder="–",
        alt="The files with their likeliest class",
        column_config={"probability": st.column_config.ProgressColumn(format="percent", min_value=0, max_value=1)},
    )
    st.download_button(
        "Download the table with all probabilities (CSV)",
        to_csv(table),
        "predictions.csv",
        "text/csv",
        icon=":material/download:",
    )
