"""Classify images, and show the answer for one of them with its charts."""

from collections.abc import Hashable, Sequence
from dataclasses import asdict

import pandas as pd
import streamlit as st
from torch import Tensor

from expertnet.charts.base import specification
from expertnet.charts.heatmaps import routing_heatmap
from expertnet.charts.predictions import probability_bars
from expertnet.errors import ImageError
from expertnet.inference.novelty import measurable
from expertnet.inference.polarity import unlike_training
from expertnet.inference.predictor import BATCH, Predictor
from expertnet.routing.weights import weights_table
from expertnet.store.checkpoints import Checkpoint
from expertnet.store.index import row_labels, rows_of
from expertnet.store.run import Run
from expertnet.ui import shell
from expertnet.ui.chart import show_chart
from expertnet.ui.predict.correct import correct
from expertnet.ui.predict.evidence import show_evidence
from expertnet.ui.predict.gallery import Answer, Classified
from expertnet.ui.predict.mistakes import step_through
from expertnet.ui.predict.samples import Given
from expertnet.ui.predict.sources import invert_key
from expertnet.ui.style import room_key
from expertnet.utils.text import escape, percent

CACHE = "answers of Predict"  # in the session: the answers for the current images
PASSES = "Images of other things that look similar can pass as well."


def classify(
    run: Run, checkpoint: Checkpoint, predictor: Predictor, given: Sequence[Given], cache: str = CACHE
) -> list[Answer]:
    """Return the answer for each image. Only new images are decoded and classified, in batches, with their progress.

    `cache` is the place of the answers in the session, one for each run in view.
    """
    keys: list[Hashable] = [(run.id, checkpoint, predictor.epoch, each.key, each.inverted) for each in given]
    cached = st.session_state.get(cache, {})
    answers: dict[Hashable, Answer] = {key: cached[key] for key in keys if key in cached}
    st.session_state[cache] = answers  # in place, so that a click meanwhile loses no batch
    new = [(key, each) for key, each in zip(keys, given, strict=True) if key not in answers]
    with shell.progress_bar() as show:
        for start in range(0, len(new), BATCH):
            if len(new) > BATCH:
                show(f"Classifying {len(new)} images", start / len(new))
            images: dict[Hashable, Tensor] = {}
            for key, each in new[start : start + BATCH]:
                try:
                    images[key] = each.load(predictor.image_size)
                except ImageError as error:
                    answers[key] = str(error)
            for (key, image), answer in zip(images.items(), predictor.classify(list(images.values())), strict=True):
                answers[key] = image, answer
    return [answers[key] for key in keys]


def show_unreadable(unreadable: Sequence[tuple[str, str]]) -> None:
    """Name the files that cannot be read, with the reason."""
    for name, error in unreadable:
        st.error(f"**{escape(name)}**: {escape(error)}", icon=":material/broken_image:")


def show_answer(run: Run, predictor: Predictor, shown: Classified, mistakes: Sequence[int]) -> None:
    """Show an image as the network sees it, with the answer, its probabilities, its routing and where the logit comes from.

    `mistakes` are those that a wrong answer is one of, see mistakes_around.
    """
    given = shown.given
    with st.container(key="answer parts"):  # which the style sheet places
        with st.container(key=room_key("answer image")):
            _image(shown)
        with st.container(key="answer text", gap="xsmall"):
            _answer(shown)
            correct(run, predictor, given)
        with st.container(key="answer actions", horizontal=True, vertical_alignment="center", gap="xsmall"):
            if given.part == "test" and given.place is not None and shown.answer.routing.shape[1] > 1:
                shell.link("experts", "See routing", run.id, image=str(given.place + 1))
            step_through(shown, mistakes)
    _likeness(run, predictor, shown)
    left, right = st.columns(2, gap="medium")
    with left:
        _bars(shown, "bars")
    with right:
        _routing(predictor, shown, "heat")
    show_evidence(predictor, shown.image, shown.answer)


def show_pair(pair: Sequence[tuple[Run, Predictor, Classified]]) -> None:
    """Show the answers of two runs for an image side by side, each with its charts and where its logit comes from."""
    labels = row_labels(rows_of([run for run, *_ in pair]))
    for column, of, (run, predictor, shown) in zip(
        st.columns(2, gap="medium"), (" of run 1", " of run 2"), pair, strict=True
    ):
        with column:
            row = st.container(horizontal=True, vertical_alignment="center", gap="medium", key=room_key(f"answer{of}"))
            with row:
                _image(shown)
                with st.container(width="stretch", gap="xsmall"):
                    _answer(shown)
                    st.caption(escape(labels[run.id]))
            _likeness(run, predictor, shown, of)
            _bars(shown, f"bars{of}")
            _routing(predictor, shown, f"heat{of}")
            show_evidence(predictor, shown.image, shown.answer, of)
    run, predictor, shown = pair[0]
    correct(run, predictor, shown.given)


def _image(shown: Classified) -> None:
    alt = f"The image {shown.given.name}, as the network sees it"
    st.image(shown.image.permute(1, 2, 0).numpy(), width=112, alt=alt)


def _answer(shown: Classified) -> None:
    st.subheader(f"Answer: {escape(shown.label)} ({percent(shown.probability)})", anchor=False)
    if shown.uncalibrated is not None:
        st.caption(f"Calibrated; {percent(shown.uncalibrated)} before.")
    given = shown.given
    judged = "" if shown.right is None else f"The answer is {'right' if shown.right else 'wrong'}. "
    st.caption(judged + escape(given.note or given.name))


def _bars(shown: Classified, key: str) -> None:
    st.markdown("**Class probabilities**")
    table = pd.DataFrame([asdict(prediction) for prediction in shown.answer.predictions])
    show_chart(specification(probability_bars(table)), key)


def _routing(predictor: Predictor, shown: Classified, key: str) -> None:
    if shown.answer.routing.shape[1] > 1:
        st.markdown("**Routing weights**")
        weights = weights_table(shown.answer.routing, predictor.settings.model.routed_blocks)
        show_chart(specification(routing_heatmap(weights)), key)


def _likeness(run: Run, predictor: Predictor, shown: Classified, of: str = "") -> None:
    """Say whether an image is like the training images, and offer to invert it if that would help. `of` tells apart two runs.

    The verdict may arrive after the answer, so its room is kept.
    """
    given, verdict = shown.given, shown.verdict
    differs = unlike_training(shown.image, predictor.info) if given.part is None else None

    def swap() -> None:
        st.session_state[invert_key(given.source)] = not given.inverted

    if differs is not None:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.warning(differs.sentence, icon=":material/contrast:")
            if differs.invert and given.source:
                icon = ":material/invert_colors:"
                st.button("Invert light and dark", icon=icon, on_click=swap, key=f"swap{of}")
    if verdict is None and not measurable(run):
        return
    with st.container(key=room_key(f"verdict{of}")):
        if verdict is None:
            st.caption("It is not known yet whether this image is unlike the training images.")
        elif not verdict.unlike:
            st.caption(f"{verdict.sentence} {PASSES}")
        else:
            sentence = verdict.sentence + (" The answer may be wrong." if given.label is None else "")
            if differs is None:
                st.warning(sentence, icon=":material/contrast:")
            else:  # one box is enough
                st.caption(sentence)
