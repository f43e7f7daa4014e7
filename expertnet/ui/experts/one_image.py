"""One image: its weights in every block, how they differ from the mean, two side by side, and what each expert sees."""

from __future__ import annotations

import streamlit as st
import torch
from torch import Tensor

from expertnet.findings import image as image_findings
from expertnet.routing.feature_maps import feature_maps, mosaic
from expertnet.routing.lab import Lab
from expertnet.ui.experts.common import Chosen, pick_block, show
from expertnet.ui.experts.image_picker import pick_image
from expertnet.utils.text import escape, percent

MAPS = 16  # feature maps of each expert that are drawn


def one_image_view(chosen: Chosen, lab: Lab | None) -> None:
    two = st.toggle("Compare two images", key="two", bind="query-params")
    columns = st.columns(2, gap="large") if two else [st.container()]
    images = []
    for which, column in zip(("", " 2"), columns, strict=False):
        with column:
            picked = pick_image(chosen.predictor, chosen.split, which)
            if picked is not None:
                images.append((picked[0], _weights(chosen, lab, *picked, which=which, beside=two)))
    if two and len(images) == 2:
        st.subheader("The second image's weights less the first's")
        show(image_findings.difference(images[1][1] - images[0][1], "between", "those of the first image"))
    elif images and not two:
        _maps(chosen, images[0][0])


def _weights(chosen: Chosen, lab: Lab | None, image: Tensor, caption: str, which: str, beside: bool) -> Tensor:
    """A column with its routing weights and their entropies; returns the weights (B, K)."""
    probabilities, routing_1BK = chosen.predictor(image[None])
    best, weights_BK = int(probabilities[0].argmax()), routing_1BK[0]
    if beside:  # two images leave too little room for three columns
        column, heat = st.columns([1, 3], gap="medium")
        bars = st.container()
    else:
        column, heat, bars = st.columns([2, 4, 4], gap="medium")
    column.image(image.permute(1, 2, 0).numpy(), width="stretch", caption=caption, alt=caption)
    column.markdown(f"Taken for **{escape(chosen.predictor.classes[best])}**, {percent(float(probabilities[0, best]))}")
    with heat:
        st.markdown("**Routing weights**")
        if lab is not None and st.toggle("Less the test set's mean", key=f"mean{which}", bind="query-params"):
            show(
                image_findings.difference(weights_BK.double() - lab.usage, f"difference{which}", "the test set's mean")
            )
        else:
            show(image_findings.weights(weights_BK, f"weights{which}"))
    with bars:
        st.markdown("**Entropy of each block**")
        show(image_findings.entropies(weights_BK, f"entropy{which}"))
    return weights_BK


def _maps(chosen: Chosen, image: Tensor) -> None:
    """What each expert of a block makes of the image, and their mix."""
    st.subheader("What each expert of a block sees")
    block = pick_block(chosen.blocks)
    maps_KDHW, mix_DHW, weights_K = feature_maps(chosen.predictor, image, block)
    strongest = mix_DHW.mean((1, 2)).argsort(descending=True)[:MAPS]
    top = float(torch.cat([maps_KDHW[:, strongest].flatten(), mix_DHW[strongest].flatten()]).quantile(0.995))
    titles = [f"Expert {k + 1}, weight {weight:.2f}" for k, weight in enumerate(weights_K.tolist())]
    with st.container(horizontal=True, gap="medium"):
        for title, maps in zip((*titles, "Their mix"), (*maps_KDHW, mix_DHW), strict=True):
            st.image(
                mosaic(maps[strongest] / max(top, 1e-9)),
                width=260,
                caption=title,
                alt=f"{title}: feature maps of block {block}",
            )
    st.caption(
        f"The {len(strongest)} feature maps that are strongest in the mix, the same ones for every expert and on one scale (white: 0, "
        "black: the strongest), after batch norm and ReLU, before the weights; the mix is with the weights."
    )
