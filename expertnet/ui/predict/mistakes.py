"""Lead from one wrong answer for a sample to the next."""

from collections.abc import Sequence

import streamlit as st

from expertnet.inference.mistakes import Mistakes, find_mistakes
from expertnet.inference.predictor import Predictor
from expertnet.store.checkpoints import Checkpoint
from expertnet.store.run import Run
from expertnet.ui.background import in_background, threads
from expertnet.ui.predict.gallery import Classified

UNASKED = 120.0  # seconds; what takes longer starts at a button


def mistakes_around(run: Run, checkpoint: Checkpoint, predictor: Predictor, shown: Classified) -> list[int]:
    """Return the places of all mistakes in the part of the data in which a wrong answer is, the worst first.

    Empty until they are found, and for images without a wrong answer or from elsewhere.
    """
    part = shown.given.part
    if part is None or shown.right:
        return []
    found: Mistakes | None = in_background(
        (
            "mistakes",
            run.id,
            part,
            predictor.epoch,
            predictor.info.fingerprint,
        ),  # as on Train, which may have found them
        "Find the other mistakes",
        lambda progress, cancelled: find_mistakes(run, part, checkpoint, progress, threads(), cancelled),
        UNASKED,
    )
    if found is None:
        return []
    worst = [mistake.place for mistake in found.worst]
    wrong = (found.labels != found.predictions).nonzero()[:, 0].tolist()
    return [*worst, *sorted({*wrong} - {*worst})]


def step_through(shown: Classified, places: Sequence[int]) -> None:
    """Offer the mistakes before and after a wrong answer, or nothing for another image. Until they are found, both wait."""
    part, place = shown.given.part, shown.given.place
    if part is None or shown.right:
        return
    order = [None, *places, None]
    at = order.index(place) if place in places else None
    before, after = (None, None) if at is None else (order[at - 1], order[at + 1])

    def open_image(there: int) -> None:
        st.query_params.update({"image": str(there + 1), "part": part})

    for label, icon, there in (("Previous mistake", "arrow_back", before), ("Next mistake", "arrow_forward", after)):
        st.button(
            label,
            icon=f":material/{icon}:",
            type="tertiary",
            disabled=there is None,
            on_click=open_image,
            args=(there,),
        )
