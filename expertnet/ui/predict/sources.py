"""Where the images on the Predict page come from: samples, a drawing, uploads or the camera."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import partial
from hashlib import sha256

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile
from torch import Tensor

from expertnet.data.images import MAX_BYTES, load_image
from expertnet.data.splits import Split
from expertnet.errors import UserError
from expertnet.inference.predictor import Predictor
from expertnet.inference.routing_cache import has_own_test_set, load_own_test_set
from expertnet.inference.unlike import inverted
from expertnet.store.run import Run
from expertnet.ui.filmstrip import filmstrip
from expertnet.ui.predict.canvas import draw
from expertnet.ui.shell import progress_bar

SAMPLES, DRAW, UPLOAD, CAMERA = "Samples", "Draw", "Upload", "Camera"
INVERT = "invert"  # widget
MOST_SAMPLES = 12


@dataclass(frozen=True)
class Given:
    """An image to classify."""

    name: str
    key: Hashable  # the same for the same image
    load: Callable[[], Tensor]  # returns (3, S, S) uint8, or raises ImageError
    note: str = ""  # shown with the answer
    place: int | None = None  # in the test set
    inverted: bool | None = None  # None if it cannot be


def pick_source(run: Run) -> tuple[str, Split | None]:
    """Ask where the images come from. Also return the run's test set if samples can be taken from it."""
    split = _test_set(run)
    sources = [SAMPLES, DRAW, UPLOAD, CAMERA] if split is not None else [UPLOAD, DRAW, CAMERA]
    source = st.segmented_control(
        "Images from",
        sources,
        default=sources[0],
        key=f"source {len(sources)}",
        required=True,
        label_visibility="collapsed",
    )
    return str(source), split


def given_images(source: str, split: Split | None, predictor: Predictor) -> list[Given]:
    """Ask for images of a source and return them."""
    if source == SAMPLES and split is not None:
        return [_sample(split, predictor)]
    if source == DRAW:
        drawing = draw(_learned_light_on_dark(predictor), key="canvas")
        if drawing is None:
            st.caption(
                "Draw one of the classes, as large as the square. On the keyboard, Space lowers and lifts the pen, and the "
                "arrow keys move it."
            )
            return []
        return [Given("drawing", sha256(drawing).digest(), partial(load_image, drawing, predictor.image_size))]
    photo = st.camera_input("Camera", key="camera", label_visibility="collapsed") if source == CAMERA else None
    files = st.file_uploader("Images", accept_multiple_files=True, key="files", max_upload_size=MAX_BYTES // 2**20)
    swap = st.toggle("Invert", key=INVERT, help="Swap light and dark before the network sees the images.")
    return [_file(file, predictor.image_size, swap) for file in ([photo] if photo else []) + files]


def _file(file: UploadedFile, image_size: int, swap: bool) -> Given:
    def load() -> Tensor:
        image = load_image(file.getvalue(), image_size)
        return inverted(image) if swap else image

    return Given(file.name, (file.file_id, swap), load, inverted=swap)


def _test_set(run: Run) -> Split | None:
    """Return a run's own test set if its images are on this machine."""
    if not has_own_test_set(run):
        return None
    try:
        with progress_bar() as show:
            return load_own_test_set(run, show)
    except (UserError, OSError):  # the Experts page says why; here there are other images
        return None


def _sample(split: Split, predictor: Predictor) -> Given:
    """Show test images of different classes and return the chosen one."""
    labels, classes = split.labels.tolist(), predictor.classes
    places = [labels.index(label) for label in sorted(set(labels))[:MOST_SAMPLES]]
    captions = [classes[labels[place]] for place in places]
    names = [f"Test image {place + 1}: class {caption}" for place, caption in zip(places, captions, strict=True)]
    picked = filmstrip("Test images", [split.images[place] for place in places], captions, names, "sample")
    place = places[picked]
    note = f"Its true class is {captions[picked]}."
    return Given(names[picked], ("test image", place), partial(split.images.__getitem__, place), note, place)


def _learned_light_on_dark(predictor: Predictor) -> bool:
    return sum(predictor.info.mean) < 0.5 * len(predictor.info.mean)
