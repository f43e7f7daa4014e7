"""Add an image that was given to a class of a dataset of yours, so that the next network learns from the mistake."""

import io
from pathlib import PurePath

import streamlit as st
from PIL import ImageOps

from expertnet.data.images import read_image
from expertnet.data.own.datasets import create_dataset
from expertnet.data.own.edits import class_id
from expertnet.data.own.folders import dataset_ids
from expertnet.data.own.intake import add_files
from expertnet.data.own.names import alike, usable_name
from expertnet.data.own.versions import Version, find_version
from expertnet.inference.predictor import Predictor
from expertnet.store.run import Run
from expertnet.ui.auth import login
from expertnet.ui.own_datasets import distinct
from expertnet.ui.predict.samples import Given
from expertnet.ui.shell import act, link
from expertnet.utils.text import escape

RESULT = "corrected"  # in the session: what came of the last click
NEW = ""  # in place of an id: a dataset that is made with its first image


def correct(run: Run, predictor: Predictor, given: Given) -> None:
    """Offer to add an image to a class, with one click. Test images are not offered, since they must stay unseen."""
    if given.data is None:
        return
    own = find_version(run.settings().data.dataset)
    versions = {dataset: version for dataset in dataset_ids() if (version := find_version(dataset)) is not None}
    new = usable_name(f"Corrections of {run.dataset}")  # the user has no field to correct it in
    titles = {dataset: version.contents.title for dataset, version in versions.items()}
    if alike(titles.values(), new) is None:
        titles[NEW] = f"{new} (new)"
    titles = distinct(titles)
    corrected, last, sentence = st.session_state.get(RESULT, (None, None, ""))
    target = f"corrections of {run.id} go to"  # in the session: the dataset's id
    if st.session_state.get(target) not in titles:
        wanted = (own.dataset if own else None, last, *reversed(titles))
        st.session_state[target] = next(dataset for dataset in wanted if dataset in titles)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        place = st.container(width="content")
        if len(titles) > 1:
            st.selectbox(
                "Dataset",
                list(titles),
                format_func=titles.__getitem__,
                key=target,
                width=220,
                label_visibility="collapsed",
            )
        dataset = st.session_state[target]
        label = place.menu_button(
            "Add to class …",
            _labels(versions.get(dataset), predictor),
            format_func=escape,
            icon=":material/new_label:",
            key=f"correct {dataset}",
            help=f"Add this image to a class of “{escape(titles[dataset])}”.",
            **login.reserved(),
        )
    if label:
        act(lambda: _add(given, dataset or create_dataset(new).dataset, label))
    if corrected == given.key:
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.caption(f":material/check: {escape(sentence)}", width="content")
            link("data", "See the dataset", dataset=last)


def _labels(version: Version | None, predictor: Predictor) -> list[str]:
    """Return the classes of the dataset, then those of the network that it lacks."""
    there = sorted(version.contents.classes.values()) if version else []
    return [*there, *(name for name in predictor.classes if alike(there, name) is None)]


def _add(given: Given, dataset: str, label: str) -> None:
    added = add_files(dataset, [_seen(given)], class_id(dataset, label))
    sentence = f"{added.sentence} Class “{label}” of “{added.version.contents.title}”."
    st.session_state[RESULT] = given.key, dataset, sentence


def _seen(given: Given) -> tuple[str, bytes]:
    """Return the name and the file of an image, with light and dark swapped if they were for the network."""
    assert given.data is not None
    if not given.inverted:
        return given.name, given.data
    file = io.BytesIO()
    ImageOps.invert(read_image(given.data)).save(file, "PNG")
    return f"{PurePath(given.name).stem}.png", file.getvalue()
