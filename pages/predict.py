"""The Predict page: classify samples, a drawing, uploads, or images from the clipboard or the camera."""

import streamlit as st

from expertnet.inference.predictor import load_predictor
from expertnet.ui import shell
from expertnet.ui.predict.calibration import pick_calibration
from expertnet.ui.predict.gallery import classified, pick_tile, show_table
from expertnet.ui.predict.mistakes import mistakes_around
from expertnet.ui.predict.novelty import novelty_of
from expertnet.ui.predict.results import classify, show_answer, show_unreadable
from expertnet.ui.predict.second import pick_second, show_both
from expertnet.ui.predict.sources import given_images, pick_source
from expertnet.ui.run_picker import pick_run
from expertnet.utils.text import counted, escape

NAMED = 20  # classes

shell.require()
head = st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute")
head.header("Predict", width="content")
row = st.container(horizontal=True, vertical_alignment="center")
picked = pick_run(row)
if picked is None:
    st.stop()
with shell.shown_error():
    run, checkpoint = picked
    with head:
        shell.link("train", "See training", run.id)
    second, temperature = pick_second(row, run), pick_calibration(row, run, checkpoint)
    predictor = load_predictor(run, checkpoint, threads=1)
    source = pick_source(run, predictor)
    left, right = st.columns([3, 5], gap="medium")
    about, below = st.container(), st.container()  # the progress comes last, or it would move the rest when it ends
    with left:
        given = given_images(source, run, predictor)
        answers = classify(run, checkpoint, predictor, given)
    with below:
        novelty = novelty_of(run, checkpoint, predictor)
    read, unreadable = classified(given, answers, novelty, temperature)
    with left:
        show_unreadable(unreadable)
        tile, passing = pick_tile(read)
    if tile is not None and second is not None:
        with right:
            show_both(run, predictor, tile, second, below)
    elif tile is not None:
        with below:
            mistakes = mistakes_around(run, checkpoint, predictor, tile)
        with right:
            show_answer(run, predictor, tile, mistakes)
    with about:
        if source in ("Upload", "Camera") and given:
            show_table(predictor.classes, passing, unreadable)
        more = " and more" if len(predictor.classes) > NAMED else ""
        st.caption(
            f"This network knows {counted(len(predictor.classes), 'class', 'classes')}: {escape(', '.join(predictor.classes[:NAMED]))}"
            f"{more}. It always answers with one of them, whatever an image shows. It sees the central square of each image, resized to "
            f"{predictor.image_size} x {predictor.image_size} pixels."
        )
