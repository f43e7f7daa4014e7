"""Many classified images: sorted, filtered, as tiles of which one is chosen, and as a table to download."""

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import streamlit as st
from torch import Tensor

from expertnet.inference.novelty import Novelty, Verdict
from expertnet.inference.predictor import Classification
from expertnet.ui.filmstrip import filmstrip
from expertnet.ui.predict.samples import Given
from expertnet.utils.text import counted, to_csv

TILES = 48
ANY = "All classes"
BEFORE = "before calibration"  # column of the probability
PERCENT = "%.1f%%"  # as in texts
CHOSEN, KNOWN = (
    "chosen image",
    "known images",
)  # in the session: the key of an image, and those of all that were there last

Answer = tuple[Tensor, Classification] | str  # the image (3, S, S) as the network sees it, or why it cannot be read


@dataclass(frozen=True, eq=False)
class Classified:
    """An image with its answer."""

    given: Given
    image: Tensor  # (3, S, S), as the network sees it
    answer: Classification
    verdict: Verdict | None  # None if unknown
    uncalibrated: float | None = None  # probability of the answer before calibration; None without one

    @property
    def label(self) -> str:
        return self.answer.predictions[0].label

    @property
    def probability(self) -> float:
        return self.answer.predictions[0].probability

    @property
    def right(self) -> bool | None:
        """Return whether the answer is the true class, None if that is unknown."""
        return None if self.given.label is None else self.label == self.given.label

    @property
    def unlike(self) -> bool:
        """Return whether the image is known to be unlike the training images."""
        return self.verdict is not None and self.verdict.unlike


def classified(
    given: Sequence[Given], answers: Sequence[Answer], novelty: Novelty | None, temperature: float | None
) -> tuple[list[Classified], list[tuple[str, str]]]:
    """Return the images that could be read, and the names of the others with the reason.

    Probabilities are calibrated by the temperature, if there is one.
    """
    unreadable = [(each.name, answer) for each, answer in zip(given, answers, strict=True) if isinstance(answer, str)]
    read = [(each, *answer) for each, answer in zip(given, answers, strict=True) if not isinstance(answer, str)]
    verdicts = [None] * len(read) if novelty is None else novelty.verdicts([answer for *_, answer in read])
    images = []
    for (each, image, answer), verdict in zip(read, verdicts, strict=True):
        if temperature is None:
            images.append(Classified(each, image, answer, verdict))
        else:
            before = answer.predictions[0].probability
            images.append(Classified(each, image, answer.calibrated(temperature), verdict, before))
    return images, unreadable


ORDERS: dict[str, Callable[[Classified], float]] = {
    "In their order": lambda each: 0,
    "Least certain first": lambda each: each.probability,
    "Most certain first": lambda each: -each.probability,
    "Most unlike first": lambda each: math.inf if each.verdict is None else -each.verdict.score,
}


def pick_tile(read: Sequence[Classified]) -> tuple[Classified | None, list[Classified]]:
    """Return the image to show large, and the images that pass the filters.

    It is the one that arrived last or that the user chose among the tiles, or the first one if that does not pass.
    """
    _choose_newest([each.given.key for each in read])
    if len(read) < 2:
        return (read[0] if read else None), list(read)
    passing = _sorted_and_filtered(read)
    if not passing:
        st.caption("No image passes the filters.")
        return None, []
    shown, keys = passing[:TILES], [each.given.key for each in passing]
    place = keys.index(st.session_state[CHOSEN]) if st.session_state[CHOSEN] in keys else 0

    def choose(tile: int) -> None:
        st.session_state[CHOSEN] = keys[tile]

    names = [
        f"{each.given.name}: {each.label}{', unlike the training images' if each.unlike else ''}" for each in shown
    ]
    captions = [f"{each.label} ?" if each.unlike else each.label for each in shown]
    tile = place if place < len(shown) else -1  # none
    filmstrip("Images", [each.image for each in shown], captions, names, "tile", tile, choose)
    if len(passing) > TILES:
        st.caption(f"The first {TILES} images are shown. All {len(passing)} files are in the table.")
    return passing[place], passing


def _choose_newest(keys: Sequence[Hashable]) -> None:
    """Choose the first image that was not there before, such as a photo taken just now."""
    new = [key for key in keys if key not in st.session_state.get(KNOWN, ())]
    if new:
        st.session_state[CHOSEN] = new[0]
    st.session_state[KNOWN] = keys


def _sorted_and_filtered(read: Sequence[Classified]) -> list[Classified]:
    """Ask for an order, a class and whether to show only images that are unlike the training images."""
    known = any(each.verdict is not None for each in read)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        orders = list(ORDERS)[: None if known else -1]
        order = st.selectbox("Order", orders, width=170, label_visibility="collapsed")
        labels = sorted({each.label for each in read})
        label = st.selectbox("Answer", [ANY, *labels], width=150, label_visibility="collapsed")
        unlike = known and st.toggle("Only unlike", help="Show only images that are unlike the training images.")
    passing = [each for each in read if label in (ANY, each.label) and (each.unlike or not unlike)]
    return sorted(passing, key=ORDERS[order])


def show_table(classes: Sequence[str], passing: Sequence[Classified], unreadable: Sequence[tuple[str, str]]) -> None:
    """Show the answers as a table, with the names and errors of `unreadable` files, and offer all probabilities as a file."""
    rows: list[dict[str, Any]] = [{"file": name, "error": error} for name, error in unreadable]
    for each in passing:
        shares = zip(classes, each.answer.probabilities.tolist(), strict=True)
        row = {"file": each.given.name, "class": each.label, "probability": each.probability}
        if each.uncalibrated is not None:
            row[BEFORE] = each.uncalibrated
        if each.verdict is not None:
            verdict = {"unlike": each.verdict.unlike, "as unusual": each.verdict.as_unusual}
            row |= verdict | {"unlike-score": each.verdict.score, "limit of the score": each.verdict.limit}
        rows.append(row | {f"P({label})": share for label, share in shares})
    table = pd.DataFrame(rows)
    st.markdown(f"**{counted(len(rows), 'file')}**")
    # Streamlit's "percent" would drop the 0 of 100.0%
    percents = {name: 100 * table[name] for name in ("probability", BEFORE) if name in table}
    st.dataframe(
        table[[name for name in ("file", "class", "probability", BEFORE, "unlike", "error") if name in table]].assign(
            **percents
        ),
        hide_index=True,
        width="stretch",
        placeholder="–",
        alt="The files with their most likely class",
        column_config={
            "probability": st.column_config.ProgressColumn(format=PERCENT, min_value=0, max_value=100),
            BEFORE: st.column_config.NumberColumn(format=PERCENT),
        },
    )
    st.download_button(
        "Download all probabilities (CSV)", to_csv(table), "predictions.csv", "text/csv", icon=":material/download:"
    )
