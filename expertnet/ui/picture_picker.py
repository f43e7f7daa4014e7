"""Choosing one picture: from the test set, by class or at random, or uploaded.

In this module: pick_picture.
"""

from __future__ import annotations

import secrets

import streamlit as st
from torch import Tensor

from expertnet.datasets import Split
from expertnet.inference import Predictor
from expertnet.pictures import MAX_BYTES, fit, read_picture
from expertnet.ui.shell import escape, shown_error


def pick_picture(predictor: Predictor, split: Split | None, which: str = "") -> tuple[Tensor, str] | None:
    """A uint8 picture (3, S, S) with its caption, or None while none is chosen; a picture of the test set stays in the address.

    `which` tells two pickers on a page apart.
    """
    source = st.segmented_control(
        "Picture from",
        ["Test set", "Upload"] if split is not None else ["Upload"],
        default="Test set" if split is not None else "Upload",
        key=f"source{which}",
        required=True,
    )
    if source == "Upload" or split is None:
        uploaded = st.file_uploader("A picture", key=f"upload{which}", max_upload_size=MAX_BYTES // 2**20)
        if uploaded is None:
            st.caption("Upload a picture to see which experts it is routed to.")
            return None
        with shown_error():
            return fit(read_picture(uploaded.getvalue()), predictor.image_size), escape(uploaded.name)
        return None
    kind, number, draw = st.columns([2, 2, 2], vertical_alignment="bottom")
    any_class = "any class"
    wanted = kind.selectbox("Class", [any_class, *predictor.classes], key=f"class{which}", bind="query-params")
    members = list(range(len(split)))
    if wanted != any_class:
        members = (split.labels == predictor.classes.index(wanted)).nonzero().flatten().tolist()
    if not members:
        st.info("The test set has no picture of this class.")
        return None
    key = f"picture{which}"
    if draw.button("At random", width="stretch", key=f"draw{which}"):
        st.session_state[key] = secrets.randbelow(len(members)) + 1
    elif st.session_state.get(key, 1) > len(members):
        st.session_state[key] = len(members)
    place = number.number_input(f"Picture (1 to {len(members):,})", 1, len(members), key=key, bind="query-params")
    index = members[int(place) - 1]
    name = predictor.classes[int(split.labels[index])]
    return split.images[index], f'Test picture {index + 1}: class "{escape(name)}"'
