"""Elements that several views share: pickers of a number, a block and an image, and rows of test images."""

import secrets
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import streamlit as st
from streamlit.delta_generator import DeltaGenerator
from torch import Tensor

from expertnet.data.catalog import namesake_images
from expertnet.data.images import MAX_BYTES, load_image
from expertnet.data.splits import Split
from expertnet.inference.mistakes import Part
from expertnet.routing.factors import what_it_shows
from expertnet.routing.lab import Lab
from expertnet.ui.experts.selection import Selection
from expertnet.ui.filmstrip import filmstrip
from expertnet.ui.shell import shown_error
from expertnet.ui.views import segments_width
from expertnet.utils.text import escape

ANY_CLASS = "Any class"
SEGMENTS = 12  # options beside one another
STRIP = 8  # images in the strip
Option = TypeVar("Option")
WIDTH, PICKER = 84, 140  # pixels: an image in a gallery, a list of numbers


def pick_number(label: str, numbers: Sequence[int], default: int, key: str) -> int:
    """Ask for one of some numbers, stored in the URL. Many become a list instead of segments."""
    if len(numbers) > SEGMENTS:
        place = numbers.index(default)
        return int(st.selectbox(label, numbers, index=place, key=key, bind="query-params", width=PICKER))
    return int(st.segmented_control(label, numbers, default=default, key=key, bind="query-params", required=True))


def pick_option(label: str, options: Mapping[str, Option], key: str, **shown: Any) -> Option:
    """Ask for one of some options by name, at first the first one, stored in the URL. `shown` is for the control."""
    names = list(options)
    return options[
        st.segmented_control(label, names, default=names[0], key=key, bind="query-params", required=True, **shown)
    ]


def pick_block(blocks: list[int], key: str = "block") -> int:
    """Ask for a block, at first the last one. A network with one block leaves no choice."""
    return pick_number("Block", blocks, blocks[-1], key) if len(blocks) > 1 else blocks[0]


def pick_image(selection: Selection, of: str = "", second: bool = False) -> tuple[Tensor, str] | None:
    """Return a uint8 image (3, S, S) and its caption as plain text, or None if no image is chosen.

    The choice of a test image is stored in the URL. On a page with two pickers, `of` tells their labels apart.
    """
    image_size, data = selection.predictor.image_size, selection.run.settings().data
    offered = {} if selection.split is None else {"Test set": selection.split}
    if not offered and (other := namesake_images(data, selection.predictor.classes)):
        offered = dict([other])
    suffix, of = " 2" if second else "", of and f" ({of})"
    strip, row = st.container(), st.container(horizontal=True, vertical_alignment="center", gap="xsmall")
    sources = [*offered, "Upload"]
    source = sources[0]
    if len(sources) > 1:
        source = row.segmented_control(
            f"Image from{of}",
            sources,
            default=source,
            key=f"source{suffix}",
            required=True,
            label_visibility="collapsed",
            width=segments_width(sources),
        )
    if source == "Upload":
        uploaded = st.file_uploader(f"Image{of}", key=f"upload{suffix}", max_upload_size=MAX_BYTES // 2**20)
        if uploaded is None:
            st.caption("Upload an image to see its routing.")
            return None
        with shown_error():
            return load_image(uploaded.getvalue(), image_size), uploaded.name
        return None
    title = "Test" if selection.split is not None else f"{source} test"
    return _test_image(selection, offered[source], title, strip, row, suffix, of)


def _test_image(
    selection: Selection, split: Split, title: str, strip: DeltaGenerator, row: DeltaGenerator, suffix: str, of: str
) -> tuple[Tensor, str] | None:
    """Ask for a test image: by a click in `strip`, or in `row` at random or by its class and number.

    `title` is what captions begin with: "Test" image 7.
    """
    classes = selection.predictor.classes
    key, class_key, of_key = f"image{suffix}", f"class{suffix}", f"run of image{suffix}"
    former = st.session_state.get(of_key, selection.run.id)
    st.session_state[of_key] = selection.run.id

    def members_of(name: str) -> list[int]:
        if name == ANY_CLASS:
            return list(range(len(split)))
        return (split.labels == classes.index(name)).nonzero().flatten().tolist()

    def stay_in_range() -> None:
        largest = len(members_of(st.session_state[class_key]))
        st.session_state[key] = max(min(st.session_state.get(key, 1), largest), 1)

    def pick_at_random() -> None:
        another = secrets.randbelow(max(len(members) - 1, 1))
        st.session_state[key] = (place + another) % len(members) + 1

    with row.popover(f"Find{of}", icon=":material/search:", type="tertiary", key=f"find{suffix}"):
        options, label = [ANY_CLASS, *classes], f"Class{of}"
        name = st.selectbox(label, options, key=class_key, bind="query-params", on_change=stay_in_range)
        members = members_of(name)
        if former != selection.run.id:  # the number of an image of the former run
            stay_in_range()
        if members:
            # Without an upper limit: beyond one, the field turns red and says nothing.
            label = f"Image (1 to {len(members):,}){of}"
            place = int(st.number_input(label, 1, step=1, key=key, bind="query-params"))
    if not members:
        st.info("The test set has no images of this class.")
        return None
    label, icon = f"Pick at random{of}", ":material/shuffle:"
    row.button(label, icon=icon, type="tertiary", key=f"draw{suffix}", on_click=pick_at_random)
    if place > len(members):
        st.info(f"There is no image {place:,}. Choose a number from 1 to {len(members):,}.", icon=":material/info:")
        return None
    first = (place - 1) // STRIP * STRIP
    shown = members[first : first + STRIP]
    captions = [classes[int(split.labels[index])] for index in shown]
    names = [f"{title} image {index + 1}: class {caption}" for index, caption in zip(shown, captions, strict=True)]

    def pick(tile: int) -> None:
        st.session_state[key] = first + tile + 1

    with strip:
        images = [split.images[index] for index in shown]
        filmstrip(f"Test images{of}", images, captions, names, f"strip{suffix}", place - 1 - first, pick)
    index = members[place - 1]
    shows = what_it_shows(selection.predictor.settings.data.dataset, len(split), index)
    caption = f'{title} image {index + 1}: class "{classes[int(split.labels[index])]}"'
    return split.images[index], f"{caption}, {shows}" if shows else caption


def gallery(
    selection: Selection, indices: list[int], captions: list[str], width: int = WIDTH, part: Part = "test"
) -> None:
    """Show images of the selection's `split`, which is `part`, or only their numbers if they are not on this computer."""
    if not indices:
        st.caption("None.")
    elif selection.split is None:
        numbers = ", ".join(str(index + 1) for index in indices)
        st.caption(f"The images are not on this computer. Their numbers in the {part} set: {numbers}.")
    else:
        with st.container(horizontal=True, gap="xsmall" if width < WIDTH else "small"):
            for index, caption in zip(indices, captions, strict=True):
                image = selection.split.images[index].permute(1, 2, 0).numpy()
                st.image(image, width=width, caption=escape(caption), alt=f"{part.capitalize()} image {index + 1}")


def image_caption(lab: Lab, index: int) -> str:
    """Return the number of a test image, its class and, if the answer is wrong, the predicted class."""
    true, predicted = (lab.classes[int(labels[index])] for labels in (lab.routed.labels, lab.routed.predictions))
    return f"#{index + 1}: {true}" + (f", predicted {predicted}" if true != predicted else "")
