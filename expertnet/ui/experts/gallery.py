"""Show a row of small test images."""

from __future__ import annotations

import streamlit as st

from expertnet.routing.lab import Lab
from expertnet.ui.experts.selection import Selection
from expertnet.utils.text import escape

WIDTH = 84  # pixels of an image


def gallery(selection: Selection, indices: list[int], captions: list[str]) -> None:
    """Show test images by index, or only their numbers if the images are not on this machine."""
    if not indices:
        st.caption("None.")
    elif selection.split is None:
        numbers = ", ".join(str(index + 1) for index in indices)
        st.caption(f"The images are not on this machine. Their numbers in the test set: {numbers}.")
    else:
        with st.container(horizontal=True, gap="small"):
            for index, caption in zip(indices, captions, strict=True):
                image = selection.split.images[index].permute(1, 2, 0).numpy()
                st.image(image, width=WIDTH, caption=escape(caption), alt=f"Test image {index + 1}")


def image_caption(lab: Lab, index: int) -> str:
    """Return the number of a test image, its class and, if the answer is wrong, the predicted class."""
    true, predicted = (lab.classes[int(labels[index])] for labels in (lab.routed.labels, lab.routed.predictions))
    return f"#{index + 1}: {true}" + (f", predicted {predicted}" if true != predicted else "")
