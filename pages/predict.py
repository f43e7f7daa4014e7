"""The Predict page: classify samples, a drawing, uploads or images from the camera."""

import streamlit as st

from expertnet.inference.predictor import load_predictor
from expertnet.ui import shell
from expertnet.ui.predict.results import classify, pick_tile, show_answer, show_table, show_unreadable
from expertnet.ui.predict.sources import given_images, pick_source
from expertnet.ui.run_picker import pick_run
from expertnet.utils.text import counted, escape

NAMED = 20  # classes

shell.require()
st.header("Predict")
picked = pick_run(st.container(horizontal=True))
if picked is None:
    st.stop()
with shell.shown_error():
    run, checkpoint = picked
    predictor = load_predictor(run, checkpoint, threads=1)
    source, split = pick_source(run)
    left, right = st.columns([3, 5], gap="medium")
    with left:
        given = given_images(source, split, predictor)
        answers = classify(run, checkpoint, predictor, given)
        show_unreadable(given, answers)
        tile = pick_tile(given, answers)
    with right:
        if tile is not None:
            show_answer(run, predictor, *tile)
    if source in ("Upload", "Camera") and given:
        show_table(predictor.classes, given, answers)
    more = " and more" if len(predictor.classes) > NAMED else ""
    st.caption(
        f"This network knows {counted(len(predictor.classes), 'class', 'classes')}: "
        f"{escape(', '.join(predictor.classes[:NAMED]))}{more}. It always answers with one of them, whatever an image shows. "
        f"It sees the central square of each image, resized to {predictor.image_size} x {predictor.image_size} pixels."
    )
