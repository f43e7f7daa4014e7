"""What the network of a run gets wrong: a confusion matrix, and the wrong answers with the highest probabilities."""

from typing import Any

import streamlit as st

from expertnet.findings.confusion import confusion
from expertnet.inference.mistakes import Mistakes, Part, find_mistakes
from expertnet.inference.predictor import load_predictor
from expertnet.inference.routing_cache import cached_routing
from expertnet.store.run import Run
from expertnet.ui.background import in_background, threads
from expertnet.ui.filmstrip import filmstrip
from expertnet.ui.finding import show
from expertnet.ui.own_test_set import own_test_set
from expertnet.ui.shell import link, open_page
from expertnet.utils.text import percent

PARTS: dict[str, Part] = {"Test images": "test", "Validation images": "validation"}
# In the session: the page and the query that a press leads to, and the run whose mistakes were left, so that Back leads to them
NEXT, LEFT = "next from mistakes", "left mistakes of"


def mistakes_view(run: Run) -> None:
    """Draw the mistakes in the images that the user chooses, computed in the background."""
    predictor = load_predictor(run, threads=1)
    titles = list(PARTS) if not run.settings().watches_test else list(PARTS)[:1]
    title = st.segmented_control("Images", titles, default=titles[0], required=True, label_visibility="collapsed")
    part, classes = PARTS[title], predictor.classes
    if own_test_set(run) is None:
        routed = cached_routing(run)
        if routed is not None and part == "test":
            show(confusion(routed, classes, part))
        return
    found: Mistakes | None = in_background(
        ("mistakes", run.id, part, predictor.epoch, predictor.info.fingerprint),
        f"Classify the {part} images",
        lambda progress, cancelled: find_mistakes(run, part, "best", progress, threads(), cancelled),
    )
    if found is None:
        return

    def choose_cell(cell: dict[str, Any]) -> None:
        if cell:  # a callback cannot switch the page
            st.session_state[NEXT] = "evaluate", {"images": title, "class": cell["class"], "answer": cell["answer"]}

    link("evaluate", "More figures on Evaluate", run.id, images=title)
    left, right = st.columns(2, gap="large")
    with left:
        show(confusion(found, classes, part), clicked=choose_cell)
    with right:
        if found.worst:
            _strip(found, classes, part)
    if NEXT in st.session_state:
        st.session_state[LEFT] = run.id
        page, query = st.session_state.pop(NEXT)
        open_page(page, run.id, **query)


def _strip(found: Mistakes, classes: tuple[str, ...], part: Part) -> None:
    """Draw the mistakes as buttons that open the image on the Predict page."""
    wrong = int((found.labels != found.predictions).sum())
    which = "All mistakes" if wrong == len(found.worst) else f"The worst {len(found.worst)} of {wrong:,} mistakes"
    st.markdown(
        f"{which}, with the probability of the wrong answer. Choose one to open it on Predict, or a cell of the matrix to see its images.",
        help="The higher the probability of a wrong answer, the worse the mistake.",
    )
    images = [mistake.image for mistake in found.worst]
    captions = [
        f"True: {classes[mistake.label]}, predicted: {classes[mistake.answer]} ({percent(mistake.probability)})"
        for mistake in found.worst
    ]
    names = [
        f"{part.capitalize()} image {mistake.place + 1}: {caption}"
        for mistake, caption in zip(found.worst, captions, strict=True)
    ]

    def choose_image(place: int) -> None:
        st.session_state[NEXT] = "predict", {"image": str(found.worst[place].place + 1), "part": part}

    filmstrip("Mistakes", images, captions, names, f"mistakes {part}", -1, choose_image, sentences=True)
