"""One image: its routing weights in every block, their difference from the average or from a second image, and feature maps."""

import streamlit as st
import torch
from streamlit.delta_generator import DeltaGenerator
from torch import Tensor

from expertnet.charts.base import rows_height
from expertnet.findings import image as image_findings
from expertnet.routing.feature_maps import feature_maps, mosaic
from expertnet.routing.lab import Lab
from expertnet.ui.experts.controls import pick_block, pick_image
from expertnet.ui.experts.selection import Selection
from expertnet.ui.finding import show
from expertnet.ui.style import CARD, cards_key, room_key
from expertnet.utils.text import escape, percent

MAPS = 16  # feature maps shown per expert
KEY = "one image"  # of the container that the style sheet turns into a grid in a wide window
PARTS = ("answer", "weights", "choice", "entropy")  # what the keys of their containers say to the style sheet
BESIDES = 300  # pixels that the weights need on a phone besides the cells of their heat map
FIRST, SECOND = "first image", "second image"


def one_image_view(selection: Selection, lab: Lab | None) -> None:
    body = st.container()
    if st.toggle("Compare two images", key="two", bind="query-params"):
        with body:
            _two_images(selection, lab)
        return
    with body:
        with st.container(key=KEY):
            picked, _ = _image(selection, lab)
        if picked is not None:
            _feature_maps(selection, picked)


def _two_images(selection: Selection, lab: Lab | None) -> None:
    weights = []
    for of, column in zip((FIRST, SECOND), st.columns(2, gap="medium"), strict=True):
        with column:
            _, weights_BK = _image(selection, lab, of)
            weights += [weights_BK] if weights_BK is not None else []
    if len(weights) == 2:
        st.subheader("Second image minus first")
        between = weights[1] - weights[0]
        show(image_findings.difference(between, "between", "those of the first image", selection.blocks))


def _image(selection: Selection, lab: Lab | None, of: str = "") -> tuple[Tensor | None, Tensor | None]:
    """Show an image with the answer, its weights, the choice of another one, and its entropies, in the order of a phone.

    Return the image and its routing weights (B, K), None without an image. `of` tells apart two images on one page.
    """
    answer, weights, choice, entropy = (st.container(key=f"image {part} {of}".rstrip()) for part in PARTS)
    row = answer.container(horizontal=True, vertical_alignment="center", key=room_key(f"answer {of}".rstrip()))
    height = rows_height(len(selection.blocks)) + BESIDES
    frame = weights.container(key=cards_key(0, height // CARD, f"weights {of}".rstrip()))
    for place in (row, frame):
        place.empty()  # keeps its room above the choice, which is drawn first
    with choice:
        picked = pick_image(selection, of, second=of == SECOND)
    if picked is None:
        return None, None
    return picked[0], _routing(selection, lab, *picked, [row, frame, entropy], of)


def _routing(
    selection: Selection, lab: Lab | None, image: Tensor, caption: str, places: list[DeltaGenerator], of: str
) -> Tensor:
    """Show an image with the answer, its routing weights and their entropies in three `places`. Return the weights (B, K)."""
    probabilities_1C, routing_1BK = selection.predictor(image[None])
    best, weights_BK = int(probabilities_1C[0].argmax()), routing_1BK[0]
    name = escape(selection.predictor.classes[best])
    answer, left, right = places
    with answer:
        st.image(image.permute(1, 2, 0).numpy(), width=112, alt=caption)
        with st.container(width="stretch", gap="xsmall"):
            st.markdown(f"Answer: **{name}** ({percent(float(probabilities_1C[0, best]))})")
            st.caption(escape(caption))
    with left:
        st.markdown("**Routing weights**")
        heatmap = st.container()
        label, key = f"Difference from average{of and f' ({of})'}", "mean 2" if of == SECOND else "mean"
        subtract = lab is not None and st.toggle(label, key=key, bind="query-params")
        with heatmap:
            if lab is not None and subtract:
                difference = weights_BK.double() - lab.usage
                average = "the average over the test set"
                show(image_findings.difference(difference, "difference", average, selection.blocks), of=of)
            else:
                show(image_findings.weights(weights_BK, "weights", selection.blocks), of=of)
    with right:
        st.markdown("**Entropy by block**")
        show(image_findings.entropies(weights_BK, "entropy", selection.blocks), of=of)
    return weights_BK


def _feature_maps(selection: Selection, image: Tensor) -> None:
    """Show the output of each expert of a block for the image, and their weighted mix."""
    st.subheader("Feature maps by expert")
    block = pick_block(selection.blocks)
    maps_KDHW, mix_DHW, weights_K = feature_maps(selection.predictor, image, block)
    strongest = mix_DHW.mean((1, 2)).argsort(descending=True)[:MAPS]
    top = float(torch.cat([maps_KDHW[:, strongest].flatten(), mix_DHW[strongest].flatten()]).quantile(0.995))
    titles = [f"Expert {k + 1}, weight {weight:.2f}" for k, weight in enumerate(weights_K.tolist())]
    with st.container(horizontal=True, gap="medium"):
        for title, maps in zip((*titles, "Weighted mix"), (*maps_KDHW, mix_DHW), strict=True):
            st.image(
                mosaic(maps[strongest] / max(top, 1e-9)),
                width=250,  # four in a row at 1280 pixels
                caption=title,
                alt=f"{title}: feature maps of block {block}",
            )
    st.caption(
        f"The {len(strongest)} feature maps that are strongest in the mix, the same ones for every expert, on one scale "
        "(white: 0, black: the strongest). The maps of an expert are its output after batch norm and activation, before it is "
        "multiplied by its weight."
    )
