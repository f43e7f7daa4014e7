"""Show where in an image the logit of a class comes from, and what each expert of the last block adds to its logit."""

import streamlit as st
from torch import Tensor

from expertnet.inference.attribution import TOGETHER, attribute, overlay
from expertnet.inference.predictor import Classification, Predictor
from expertnet.utils.text import escape

WIDTH = 132  # pixels of a map
EXACT = (
    "The network scores a class by its logit, the number that softmax turns into a probability. The logit is a sum over the positions of "
    "the last feature map and over the experts of the last block, so these numbers are exact: class activation maps (Zhou 2016, "
    "arXiv:1512.04150), divided by expert. Colors are interpolated between the positions, and have the same scale in all maps."
)


def show_evidence(predictor: Predictor, image: Tensor, classification: Classification, of: str = "") -> None:
    """Draw a map of the image for a class that the user chooses among the likeliest, and one for each part of the network.

    `of` tells apart the choices for two networks.
    """
    labels = [prediction.label for prediction in classification.predictions]
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown("**Where the logit comes from**", help=EXACT, width="content")
        label = st.selectbox(f"Explained class{of}", labels, width=160, label_visibility="collapsed")
    found, row = attribute(predictor, image), predictor.classes.index(label)
    maps_PHW, most = found.maps[row], float(found.maps[row].sum(0).abs().max())
    drawn = {"All parts": maps_PHW.sum(0)} | dict(zip(found.parts, maps_PHW, strict=True))
    if len(found.parts) == 1:
        drawn.popitem()
    with st.container(horizontal=True, gap="small"):
        for name, map_HW in drawn.items():
            added = float(map_HW.sum())
            alt = (
                f"{name}: the positions that raise (orange) or lower (blue) the logit of {label}, {added:+.2f} in total"
            )
            with st.container(width=WIDTH, gap=None):
                st.image(overlay(image, map_HW, most).permute(1, 2, 0).numpy(), width=WIDTH, alt=alt)
                st.caption(f"{name}: {added:+.2f}")
    bias, height, width = float(found.bias[row]), *maps_PHW.shape[1:]
    st.caption(
        f"Orange positions raise the logit of {escape(label)}, blue positions lower it. This logit is {float(found.logits[row]):.2f}"
        + (f", including a bias of {bias:+.2f}" if bias else "")
        + f". The last feature map has {height} x {width} positions.{_why_together(predictor, found.parts)}"
    )


def _why_together(predictor: Predictor, parts: tuple[str, ...]) -> str:
    if TOGETHER not in parts:
        return ""
    if predictor.settings.model.num_blocks not in predictor.settings.model.routed_blocks:
        return " The last block has no experts."
    return " This network mixes its experts' kernels, so that their outputs cannot be told apart."
