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


def pick_picture(predictor: Predictor, split: Split | None) -> tuple[Tensor, str] | None:
    """A uint8 picture (3, S, S) with its caption, or None while none is chosen."""
    source = st.segmented_control(
        "Picture from",
        ["Test set", "Upload"] if split is not None else ["Upload"],
        default="Test set" if split is not None else "Upload",
        key="source",
        required=True,
    )
    if source == "Upload" or split is None:
        uploaded = st.file_uploader("A picture", key="picture", max_upload_size=MAX_BYTES // 2**20)
        if uploaded is None:
            st.caption("Upload a picture to see which experts it is routed to.")
            return None
        with shown_error():
            return fit(read_picture(uploaded.getvalue()), predictor.image_size), escape(uploaded.name)
        return None
    kind, number, draw = st.columns([2, 2, 2], vertical_alignment="bottom")
    wanted = kind.selectbox("Class", ["any class", *predictor.classes], key="class")
    members = (
        list(range(len(split)))
        if wanted == "any class"
        else (split.labels == predictor.classes.index(wanted)).nonzero().flatten().tolist()
    )
    if not members:
        st.info("The test set has no picture of this class.")
        return None
    if draw.button("At random", icon=":material/casino:", width="stretch") or "place" not in st.session_state:
        st.session_state["place"] = secrets.randbelow(len(members)) + 1
    st.session_state["place"] = min(st.session_state["place"], len(members))
    place = number.number_input(f"Picture (1 to {len(members):,})", 1, len(members), key="place")
    index = members[int(place) - 1]
    name = predictor.classes[int(split.labels[index])]
    return split.images[index], f'Test picture {index + 1}: class "{escape(name)}"'
