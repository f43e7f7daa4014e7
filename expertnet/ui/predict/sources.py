"""Where the images on the Predict page come from: samples, a drawing, files, the clipboard or the camera."""

from collections.abc import Hashable
from hashlib import sha256

import streamlit as st
from torch import Tensor

from expertnet.data.catalog import namesake_images
from expertnet.data.images import MAX_BYTES, load_image
from expertnet.inference.predictor import Predictor
from expertnet.inference.routing_cache import has_own_test_set
from expertnet.inference.unlike import inverted
from expertnet.store.run import Run
from expertnet.ui.own_test_set import own_test_set
from expertnet.ui.predict.canvas import draw
from expertnet.ui.predict.paste import paste
from expertnet.ui.predict.samples import Given, pick_sample

SAMPLES, DRAW, UPLOAD, CAMERA = "Samples", "Draw", "Upload", "Camera"
INVERT = "invert"  # widget


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
        drawing, swap = draw(_learned_light_on_dark(predictor), key="canvas"), _invert()
        if drawing is None:
            st.caption(
                "Draw one of the classes, as large as the square. On the keyboard, Space lowers and lifts the pen, and the "
                "arrow keys move it."
            )
            return []
        return [_file("drawing", drawing, sha256(drawing).digest(), swap)]
    photo = st.camera_input("Camera", key="camera", label_visibility="collapsed") if source == CAMERA else None
    files = st.file_uploader("Images", accept_multiple_files=True, key="files", max_upload_size=MAX_BYTES // 2**20)
    pasted = paste(key="paste") if source == UPLOAD else None
    swap, uploads = _invert(), ([photo] if photo else []) + files
    given = [_file(file.name, file.getvalue(), file.file_id, swap) for file in uploads]
    return given if pasted is None else [*given, _file("pasted", pasted, sha256(pasted).digest(), swap)]


def _invert() -> bool:
    return st.toggle("Invert", key=INVERT, help="Swap light and dark before the network sees the images.")


def _file(name: str, data: bytes, key: Hashable, swap: bool) -> Given:
    def load(image_size: int) -> Tensor:
        image = load_image(data, image_size)
        return inverted(image) if swap else image

    return Given(name, (key, swap), load, inverted=swap, data=data)


def _learned_light_on_dark(predictor: Predictor) -> bool:
    return sum(predictor.info.mean) < 0.5 * len(predictor.info.mean)
