"""Choosing one image: from the test set, by class or at random, or uploaded.

In this module: pick_image.
"""

from __future__ import annotations

import secrets

import streamlit as st
from torch import Tensor

from expertnet.data.images import MAX_BYTES, load_image
from expertnet.data.splits import Split
from expertnet.inference.predictor import Predictor
from expertnet.ui.shell import shown_error
from expertnet.utils.text import escape


def pick_image(predictor: Predictor, split: Split | None, which: str = "") -> tuple[Tensor, str] | None:
    """A uint8 image (3, S, S) with its caption, or None while none is chosen; an image of the test set stays in the address.

    `which` tells two pickers on a page apart.
    """
    source = st.segmented_control(
        "Image from",
        ["Test set", "Upload"] if split is not None else ["Upload"],
        default="Test set" if split is not None else "Upload",
        key=f"source{which}",
        required=True,
    )
    if source == "Upload" or split is None:
        uploaded = st.file_uploader("An image", key=f"upload{which}", max_upload_size=MAX_BYTES // 2**20)
        if uploaded is None:
            st.caption("Upload an image to see which experts it is routed to.")
            return None
        with shown_error():
            return load_image(uploaded.getvalue(), predictor.image_size), escape(uploaded.name)
        return None
    kind, number, draw = st.columns([2, 2, 2], vertical_alignment="bottom")
    any_class = "any class"
    key, class_key = f"image{which}", f"class{which}"

    def members_of(name: str) -> list[int]:
        if name == any_class:
            return list(range(len(split)))
        return (split.labels == predictor.classes.index(name)).nonzero().flatten().tolist()

    def another_class() -> None:
        st.session_state[key] = max(min(st.session_state.get(key, 1), len(members_of(st.session_state[class_key]))), 1)

    classes = [any_class, *predictor.classes]
    members = members_of(kind.selectbox("Class", classes, key=class_key, bind="query-params", on_change=another_class))
    if not members:
        st.info("The test set has no image of this class.")
        return None
    if draw.button("At random", width="stretch", key=f"draw{which}"):
        st.session_state[key] = secrets.randbelow(len(members)) + 1
    # no upper limit, beyond which a field turns red without a word; the lower one is what it begins with
    place = number.number_input(f"Image (1 to {len(members):,})", 1, step=1, key=key, bind="query-params")
    if place > len(members):
        st.info(f"There is no image {place:,} here; choose one from 1 to {len(members):,}.", icon=":material/info:")
        return None
    index = members[int(place) - 1]
    name = predictor.classes[int(split.labels[index])]
    return split.images[index], f'Test image {index + 1}: class "{escape(name)}"'
