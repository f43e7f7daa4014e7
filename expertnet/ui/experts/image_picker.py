"""Choose one image: from the test set, by number or at random, or an upload."""

from __future__ import annotations

import secrets

import streamlit as st
from torch import Tensor

from expertnet.data.images import MAX_BYTES, load_image
from expertnet.data.splits import Split
from expertnet.inference.predictor import Predictor
from expertnet.ui.shell import shown_error
from expertnet.utils.text import escape

ANY_CLASS = "Any class"


def pick_image(predictor: Predictor, split: Split | None, suffix: str = "") -> tuple[Tensor, str] | None:
    """Return a uint8 image (3, S, S) and its caption, or None if no image is chosen.

    The choice of a test image is stored in the URL. `suffix` tells apart two pickers on one page.
    """
    sources = ["Test set", "Upload"] if split is not None else ["Upload"]
    source = st.segmented_control("Image from", sources, default=sources[0], key=f"source{suffix}", required=True)
    if split is None or source == "Upload":
        return _upload(predictor, suffix)
    return _test_image(predictor, split, suffix)


def _upload(predictor: Predictor, suffix: str) -> tuple[Tensor, str] | None:
    uploaded = st.file_uploader("Image", key=f"upload{suffix}", max_upload_size=MAX_BYTES // 2**20)
    if uploaded is None:
        st.caption("Upload an image to see its routing.")
        return None
    with shown_error():
        return load_image(uploaded.getvalue(), predictor.image_size), escape(uploaded.name)
    return None


def _test_image(predictor: Predictor, split: Split, suffix: str) -> tuple[Tensor, str] | None:
    kind, number, random = st.columns(3, vertical_alignment="bottom")
    key, class_key = f"image{suffix}", f"class{suffix}"

    def members_of(name: str) -> list[int]:
        if name == ANY_CLASS:
            return list(range(len(split)))
        return (split.labels == predictor.classes.index(name)).nonzero().flatten().tolist()

    def stay_in_range() -> None:
        largest = len(members_of(st.session_state[class_key]))
        st.session_state[key] = max(min(st.session_state.get(key, 1), largest), 1)

    names = [ANY_CLASS, *predictor.classes]
    members = members_of(kind.selectbox("Class", names, key=class_key, bind="query-params", on_change=stay_in_range))
    if not members:
        st.info("The test set has no images of this class.")
        return None
    if random.button("Pick at random", width="stretch", key=f"draw{suffix}"):
        st.session_state[key] = secrets.randbelow(len(members)) + 1
    # Without an upper limit: beyond one, the field turns red and says nothing.
    place = number.number_input(f"Image (1 to {len(members):,})", 1, step=1, key=key, bind="query-params")
    if place > len(members):
        st.info(f"There is no image {place:,}. Choose a number from 1 to {len(members):,}.", icon=":material/info:")
        return None
    index = members[int(place) - 1]
    name = predictor.classes[int(split.labels[index])]
    return split.images[index], f'Test image {index + 1}: class "{escape(name)}"'
