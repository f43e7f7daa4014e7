"""Classify pictures: uploads or the camera."""

import pandas as pd
import streamlit as st

from expertnet import charts, routing
from expertnet.inference import load_predictor
from expertnet.pictures import PictureError, fit, read_picture
from expertnet.ui import shell
from expertnet.ui.run_picker import pick_run

shell.require()
SHOWN = 12  # pictures with charts; all are in the table

st.header("Predict")
run = pick_run("Network")
if run is None:
    st.stop()
with shell.shown_error():
    predictor = load_predictor(run, threads=1)
    way = st.segmented_control("Pictures from", ["Files", "Camera"], default="Files", required=True, key="way")
    if way == "Files":
        files = st.file_uploader("Pictures", accept_multiple_files=True, key="files")
    else:
        shot = st.camera_input("Camera")
        files = [shot] if shot else []
    if not files:
        st.caption(
            f"This network knows {len(predictor.classes)} classes: {shell.escape(', '.join(predictor.classes[:20]))}"
            f"{' and more' if len(predictor.classes) > 20 else ''}. Each picture is cropped to its middle square, "
            f"{predictor.image_size} pixels wide."
        )
        st.stop()
    rows = []
    for number, file in enumerate(files):
        try:
            image = fit(read_picture(file.getvalue()), predictor.image_size)
        except PictureError as error:
            st.error(f"**{shell.escape(file.name)}**: {shell.escape(str(error))}", icon=":material/broken_image:")
            rows.append({"file": file.name, "error": str(error)})
            continue
        probabilities, weights = predictor(image[None])
        values, indices = probabilities[0].topk(min(5, len(predictor.classes)))
        labels = [predictor.classes[index] for index in indices.tolist()]
        rows.append(
            {
                "file": file.name,
                "class": labels[0],
                "probability": values[0].item(),
                **{f"P({name})": p for name, p in zip(predictor.classes, probabilities[0].tolist(), strict=True)},
            }
        )
        if number >= SHOWN:
            continue
        with st.container(border=True):
            shown, bars, heat = st.columns([1, 2, 2])
            shown.image(image.permute(1, 2, 0).numpy(), width=150, caption=shell.escape(file.name))
            bars.markdown(f"**{shell.escape(labels[0])}** · {values[0]:.1%}")
            bars.altair_chart(
                charts.probability_bars(pd.DataFrame({"label": labels, "probability": values.tolist()})),
                width="stretch",
                key=f"bars {number}",
            )
            if weights.shape[2] > 1:
                heat.markdown("Routing, block by expert")
                heat.altair_chart(
                    charts.routing_heatmap(routing.weights_table(weights[0])), width="stretch", key=f"heat {number}"
                )
    if len(files) > SHOWN:
        st.caption(f"The first {SHOWN} are shown; all {len(files)} are in the table.")
    table = pd.DataFrame(rows)
    st.dataframe(
        table,
        hide_index=True,
        width="stretch",
        column_config={"probability": st.column_config.ProgressColumn(format="percent", min_value=0, max_value=1)},
    )
    st.download_button(
        "Download the table (CSV)", table.to_csv(index=False), "predictions.csv", "text/csv", icon=":material/download:"
    )
