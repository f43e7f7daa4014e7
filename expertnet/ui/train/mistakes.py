"""What the network of a run gets wrong: a confusion matrix, and the mistakes of which it was most certain."""

import streamlit as st

from expertnet.findings.confusion import confusion
from expertnet.inference.mistakes import Mistake, Mistakes, Part, find_mistakes
from expertnet.inference.predictor import load_predictor
from expertnet.inference.routing_cache import cached_routing
from expertnet.store.run import Run
from expertnet.ui.background import in_background, threads
from expertnet.ui.finding import show
from expertnet.ui.own_test_set import own_test_set
from expertnet.utils.text import escape, percent

PARTS: dict[str, Part] = {"Test images": "test", "Validation images": "validation"}
WIDTH = 84  # pixels of an image


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
        f"Classifying the {part} images",
        lambda progress, cancelled: find_mistakes(run, part, "best", progress, threads(), cancelled),
    )
    if found is None:
        return
    left, right = st.columns(2, gap="large")
    with left:
        show(confusion(found, classes, part))
    with right:
        if found.worst:
            wrong = int((found.labels != found.predictions).sum())
            which = (
                "All mistakes" if wrong == len(found.worst) else f"The worst {len(found.worst)} of {wrong:,} mistakes"
            )
            st.markdown(f"{which}, the most certain answers first")
            with st.container(horizontal=True, gap="small"):
                for mistake in found.worst:
                    _draw(mistake, classes, part)


def _draw(mistake: Mistake, classes: tuple[str, ...], part: Part) -> None:
    true, answer = classes[mistake.label], classes[mistake.answer]
    with st.container(width=WIDTH, gap=None):
        alt = f"{part.capitalize()} image {mistake.place + 1}: {true}, answer {answer}"
        st.image(mistake.image.permute(1, 2, 0).numpy(), width=WIDTH, alt=alt)
        st.caption(f"{escape(true)}  \nAnswer: {escape(answer)} ({percent(mistake.probability)})")
