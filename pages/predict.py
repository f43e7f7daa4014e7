"""The Predict page: classify uploads or images from the camera."""

import streamlit as st

from expertnet.data.images import MAX_BYTES
from expertnet.inference.predictor import load_predictor
from expertnet.ui import shell
from expertnet.ui.predict.results import classify_uploads, show_results
from expertnet.ui.run_picker import pick_run
from expertnet.utils.text import counted, escape

NAMED = 20  # classes

shell.require()
st.header("Predict")
picked = pick_run("Network")
if picked is None:
    st.stop()
with shell.shown_error():
    run, checkpoint = picked
    predictor = load_predictor(run, checkpoint, threads=1)
    files = st.file_uploader("Images", accept_multiple_files=True, key="files", max_upload_size=MAX_BYTES // 2**20)
    if st.toggle("Camera", key="with camera"):
        photo = st.camera_input("Camera", key="camera", width=480, label_visibility="collapsed")
        files = [photo, *files] if photo else files
    if files:
        answers = classify_uploads(run, checkpoint, predictor, files)
        show_results(predictor.classes, [file.name for file in files], answers)
    else:
        more = " and more" if len(predictor.classes) > NAMED else ""
        st.caption(
            f"This network knows {counted(len(predictor.classes), 'class', 'classes')}: "
            f"{escape(', '.join(predictor.classes[:NAMED]))}{more}. It sees the central square of each image, resized to "
            f"{predictor.image_size} x {predictor.image_size} pixels."
        )
