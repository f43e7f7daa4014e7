"""Sample images: test images of the run, and those of built-in datasets that are on this computer."""

import re
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import streamlit as st
from PIL import Image
from torch import Tensor

from expertnet.data.builtin import BUILTIN
from expertnet.data.catalog import namesake
from expertnet.data.datasets import dataset_title, find_cached, load_test_split
from expertnet.data.images import fit
from expertnet.data.parts import load_validation_split
from expertnet.data.splits import Split
from expertnet.errors import UserError
from expertnet.inference.mistakes import Part
from expertnet.inference.predictor import Predictor
from expertnet.inference.routing_cache import has_own_test_set, load_own_test_set
from expertnet.settings.schema import DataSettings
from expertnet.store.run import Run
from expertnet.ui.filmstrip import filmstrip
from expertnet.ui.shell import progress_bar
from expertnet.utils.text import escape

MOST_SAMPLES = 12
OWN = "Test images of this run"
Load = Callable[[int], Tensor]  # takes S, and returns (3, S, S) uint8 or raises ImageError


@dataclass(frozen=True)
class Given:
    """An image to classify."""

    name: str
    key: Hashable  # the same for the same image, inverted or not
    load: Load
    note: str = ""  # shown with the answer
    label: str | None = None  # the true class, None if unknown
    part: Part | None = None  # of the data of the run; None if the image is not from there
    place: int | None = None  # in its part
    source: str = ""  # whose toggle inverts it; "" if it cannot be inverted
    inverted: bool = False
    data: bytes | None = None  # the file that a user gave; None for samples


class _Sample(NamedTuple):
    part: Part
    place: int  # in its set, from 0
    image: Tensor  # (3, S, S) uint8
    label: str


def pick_sample(run: Run, predictor: Predictor) -> list[Given]:
    """Show test images of different classes, after an image that the URL names, and return the chosen one."""
    data = run.settings().data
    own = [data.dataset] if has_own_test_set(run) else []
    others = [
        name for name, spec in BUILTIN.items() if name != data.dataset and (not spec.download_bytes or _is_here(name))
    ]
    others.sort(key=lambda name: name != namesake(data.dataset, predictor.classes))
    titles = {name: dataset_title(name) for name in others} | dict.fromkeys(own, OWN)
    name = st.selectbox("Samples of", [*own, *others], format_func=titles.__getitem__, label_visibility="collapsed")
    is_own, shown = name in own, list[_Sample]()
    try:
        with progress_bar() as show:
            if is_own:
                split, classes = load_own_test_set(run, show), predictor.classes
                shown = _asked(run, split, classes)
            else:
                split, info = load_test_split(DataSettings(dataset=name), show)
                classes = info.classes
    except (UserError, OSError) as error:
        st.caption(escape(str(error)))
        return []
    labels = split.labels.tolist()
    places = [labels.index(label) for label in sorted(set(labels))[:MOST_SAMPLES]]
    key = f"sample {name} {[each.place for each in shown]}"  # so that the image that the URL names is chosen first
    shown += [_Sample("test", place, split.images[place], classes[labels[place]]) for place in places]
    names = [f"{each.part.capitalize()} image {each.place + 1}: class {each.label}" for each in shown]
    picked = filmstrip("Test images", [each.image for each in shown], [each.label for each in shown], names, key)
    part, place, image, label = shown[picked]
    load = partial(_resized, image)
    if is_own:
        note = f"The true class of {part} image {place + 1} is {label}."
        return [Given(names[picked], (part, place), load, note, label, part, place)]
    return [Given(names[picked], (name, place), load, f"It is from {titles[name]}, where its class is {label}.", label)]


def _is_here(name: str) -> bool:
    return find_cached(DataSettings(dataset=name)) is not None


def _resized(image: Tensor, image_size: int) -> Tensor:
    if image.shape[-1] == image_size:
        return image
    return fit(Image.fromarray(image.permute(1, 2, 0).numpy()), image_size)


def _asked(run: Run, split: Split, classes: Sequence[str]) -> list[_Sample]:
    """Return the test or validation image that the URL names, or none. The Mistakes tab of a run links to it."""
    part: Part = "validation" if st.query_params.get("part") == "validation" else "test"
    number, settings = st.query_params.get("image", ""), run.settings()
    if not re.fullmatch("[0-9]{1,9}", number) or (part == "validation" and settings.watches_test):
        return []
    if part == "validation":
        split = load_validation_split(settings.data, settings.seed, own=run.dataset_info())
    place = int(number) - 1
    if not 0 <= place < len(split):
        return []
    return [_Sample(part, place, split.images[place], classes[int(split.labels[place])])]
