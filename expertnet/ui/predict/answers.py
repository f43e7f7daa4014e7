"""Classify uploads, each once per network and session."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile
from torch import Tensor

from expertnet.data.images import load_image
from expertnet.errors import ImageError
from expertnet.inference.predictor import Classification, Predictor
from expertnet.store.checkpoints import Checkpoint
from expertnet.store.run import Run

CACHE = "answers of Predict"  # in the session: the answers for the current uploads

Key = tuple[str, Checkpoint, int, str]  # run, checkpoint, epoch, upload
Answer = tuple[Tensor, Classification] | str  # the image (3, S, S) as the network sees it, or why it cannot be read


def classify_uploads(
    run: Run, checkpoint: Checkpoint, predictor: Predictor, files: Sequence[UploadedFile]
) -> list[Answer]:
    """Return the answer for each upload. Only new uploads are decoded and classified."""
    keys: list[Key] = [(run.id, checkpoint, predictor.epoch, file.file_id) for file in files]
    cached = st.session_state.get(CACHE, {})
    answers: dict[Key, Answer] = {key: cached[key] for key in keys if key in cached}
    images: dict[Key, Tensor] = {}
    for key, file in zip(keys, files, strict=True):
        if key not in answers:
            try:
                images[key] = load_image(file.getvalue(), predictor.image_size)
            except ImageError as error:
                answers[key] = str(error)
    for key, classification in zip(images, predictor.classify(list(images.values())), strict=True):
        answers[key] = images[key], classification
    st.session_state[CACHE] = answers
    return [answers[key] for key in keys]
