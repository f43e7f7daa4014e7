"""Where the images on the Predict page come from: samples, a drawing, files, the clipboard or the camera."""

from collections.abc import Hashable
from functools import partial
from hashlib import sha256

import streamlit as st

from expertnet.data.builtin import BUILTIN
from expertnet.data.catalog import namesake_images
from expertnet.data.drawing import load_drawing
from expertnet.data.images import MAX_BYTES, load_image
from expertnet.inference.polarity import inverted
from expertnet.inference.predictor import Predictor
from expertnet.inference.routing_cache import has_own_test_set
from expertnet.store.run import Run
from expertnet.ui.own_test_set import own_test_set
from expertnet.ui.predict.canvas import draw
from expertnet.ui.predict.paste import paste
from expertnet.ui.predict.samples import Given, Load, pick_sample

SAMPLES, DRAW, UPLOAD, CAMERA = "Samples", "Draw", "Upload", "Camera"


def pick_source(run: Run, predictor: Predictor) -> str:
    """Ask where the images come from. Samples come first if the run's images are here, or those of the dataset it is named after.

    If the run's images are not here, say so and offer to get them.
    """
    own = has_own_test_set(run)
    if not own and own_test_set(run) is not None:  # downloaded just now
        st.rerun()
    known = own or namesake_images(run.settings().data, predictor.classes) is not None
    sources = [SAMPLES, DRAW, UPLOAD, CAMERA] if known else [UPLOAD, DRAW, CAMERA, SAMPLES]
    source = st.segmented_control(
        "Images from",
        sources,
        default=sources[0],
        key=f"source {sources[0]}",
        required=True,
        label_visibility="collapsed",
    )
    return str(source)


def given_images(source: str, run: Run, predictor: Predictor) -> list[Given]:
    """Ask for images of a source and return them."""
    if source == SAMPLES:
        return pick_sample(run, predictor)
    if source == DRAW:
        return _drawing(run, predictor)
    photo = st.camera_input("Camera", key="camera", label_visibility="collapsed") if source == CAMERA else None
    files = st.file_uploader("Images", accept_multiple_files=True, key="files", max_upload_size=MAX_BYTES // 2**20)
    pasted = paste(key="paste") if source == UPLOAD else None
    swap, uploads = _invert(source), ([photo] if photo else []) + files
    given = [_file(file.name, file.getvalue(), file.file_id, source, swap) for file in uploads]
    return given if pasted is None else [*given, _file("pasted", pasted, sha256(pasted).digest(), source, swap)]


def _drawing(run: Run, predictor: Predictor) -> list[Given]:
    """Ask for a drawing. If the run's images are small and cropped to their ink, it becomes like them."""
    light_on_dark, spec = _learned_light_on_dark(predictor), BUILTIN.get(run.settings().data.dataset)
    native_size = spec.native_size if spec else None
    data, swap = draw(light_on_dark, key="canvas"), _invert(DRAW)
    if data is None:
        cropped = (
            " It is cropped and enlarged, which makes the strokes of a small drawing too thick." if native_size else ""
        )
        st.caption(
            f"Draw one of the classes, as large as the square.{cropped} On the keyboard, Space lowers and lifts the "
            "pen, and the arrow keys move it."
        )
        return []
    note = ""
    if spec and native_size:
        note = f"Drawing, cropped and reduced to {native_size} x {native_size} pixels, like {spec.title}"
    load = partial(load_drawing, data, native_size=native_size, light_on_dark=light_on_dark)
    key = sha256(data).digest(), native_size, light_on_dark
    return [Given("drawing", key, _swapped(load, swap), note, source=DRAW, inverted=swap, data=data)]


def invert_key(source: str) -> str:
    """Return the key of the toggle that inverts the images of a source. A photo on paper says nothing about the next drawing."""
    return f"invert {source}"


def _invert(source: str) -> bool:
    help = "Swap light and dark before the network sees the images."
    return st.toggle("Invert", key=invert_key(source), help=help)


def _file(name: str, data: bytes, key: Hashable, source: str, swap: bool) -> Given:
    load = _swapped(partial(load_image, data), swap)
    return Given(name, key, load, source=source, inverted=swap, data=data)


def _swapped(load: Load, swap: bool) -> Load:
    return (lambda image_size: inverted(load(image_size))) if swap else load


def _learned_light_on_dark(predictor: Predictor) -> bool:
    return sum(predictor.info.mean) < 0.5 * len(predictor.info.mean)
