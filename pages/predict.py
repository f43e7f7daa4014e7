"""Classify images: uploads or the camera."""

import pandas as pd
import streamlit as st

from expertnet.charts.heatmaps import routing_heatmap
from expertnet.charts.predictions import probability_bars
from expertnet.data.images import MAX_BYTES, fit, read_image
from expertnet.errors import ImageError
from expertnet.inference.predictor import load_predictor
from expertnet.routing.weights import weights_table
from expertnet.ui import shell
from expertnet.ui.run_picker import pick_run
from expertnet.utils.text import escape, percent, to_csv

shell.require()
SHOWN = 12  # images with charts; all are in the table

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
    for file in files:
        try:
            image = fit(read_image(file.getvalue()), predictor.image_size)
        except ImageError as error:
            st.error(f"**{escape(file.name)}**: {escape(str(error))}", icon=":material/broken_image:")
            rows.append({"file": file.name, "error": str(error)})
            continue
        probabilities, weights = predictor(image[None])
        values, indices = probabilities[0].topk(min(5, len(predictor.classes)))
        labels = [predictor.classes[index] for index in indices.tolist()]
        each = {f"P({name})": p for name, p in zip(predictor.classes, probabilities[0].tolist(), strict=True)}
        rows.append({"file": file.name, "class": labels[0], "probability": values[0].item(), **each})
        shown += 1
        if shown > SHOWN:
            continue
        with st.container(border=True):
            thumbnail, bars, heat = st.columns([2, 5, 5], gap="medium")
            name = escape(file.name)
            thumbnail.image(image.permute(1, 2, 0).numpy(), width="stretch", caption=name, alt=f"The image {file.name}")
            bars.markdown(f"**{escape(labels[0])}**, {percent(values[0].item())}")
            bars.altair_chart(
                probability_bars(pd.DataFrame({"label": labels, "probability": values.tolist()})),
                width="stretch",
                key=f"bars {shown}",
            )
            if weights.shape[2] > 1:
                heat.markdown("**Routing weights**")
                heat.altair_chart(routing_heatmap(weights_table(weights[0])), width="stretch", key=f"heat {shown}")
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
