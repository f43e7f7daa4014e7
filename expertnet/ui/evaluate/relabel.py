"""Mend the label of an image of your own where you see the mistake, or drop the image."""

import streamlit as st

from expertnet.data.own.datasets import can_undo, undo
from expertnet.data.own.edits import class_named, move_images, remove_images
from expertnet.data.own.versions import open_version
from expertnet.errors import DatasetError
from expertnet.evaluation.own_image import OwnPlace, find_own_image
from expertnet.ui import shell
from expertnet.ui.evaluate.subject import Subject
from expertnet.utils.text import escape

CHANGED = "changed"  # in the session: the last change made here, in words, by dataset


def relabel(subject: Subject, place: int) -> None:
    """Draw the way to move an image (from 0) to another class, or to remove it, if it is of a dataset of yours."""
    try:
        found = find_own_image(subject.run, subject.part, place)
    except DatasetError:  # without its dataset, there is nothing to change
        return
    if found is None:
        return
    _last_change(found)
    if found.now is None:
        st.caption("The image has been removed from the dataset since this run was trained.")
        return
    label = subject.classes[int(subject.outputs.labels[place])]
    if found.now != label:
        st.caption(f"Now in “{escape(found.now)}”. These results use the label that it had when this run was trained.")
    menu = st.popover("Change the label", icon=":material/label:", key=f"label {found.key} {found.now}")
    classes = list(open_version(found.dataset).contents.classes.values())
    others = sorted(name for name in classes if name != found.now)
    answer = subject.answer(place)
    index = others.index(answer) if answer in others else 0
    chosen = menu.selectbox("Class", others, index, key=f"class of {found.key} {found.now}")
    if chosen is not None:  # there may be no other class by now
        shell.action(menu, "Move to this class", "check", "relabel", lambda: _move(found, chosen), type="primary")
    shell.action(menu, "Remove the image", "delete", "drop", lambda: _remove(found), type="tertiary")
    menu.caption("This makes a new version of the dataset, for your next run. You can undo it.")


def _move(found: OwnPlace, name: str) -> None:
    contents = open_version(found.dataset).contents
    _keep(found.dataset, move_images(found.dataset, [found.key], class_named(contents, name)).what)


def _remove(found: OwnPlace) -> None:
    _keep(found.dataset, remove_images(found.dataset, [found.key]).what)


def _keep(dataset: str, what: str) -> None:
    st.session_state[CHANGED] = {dataset: what}


def _last_change(found: OwnPlace) -> None:
    """Show the change that was made here last, with Undo, as long as nothing else has changed since."""
    what = st.session_state.get(CHANGED, {}).get(found.dataset)
    if what and can_undo(found.dataset) == what:
        version = open_version(found.dataset)
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(f":material/check_circle: {escape(what)}: {escape(version.name)}.", width="content")
            shell.action(
                st.container(width="content"),
                "Undo",
                "undo",
                "undo label",
                lambda: undo(found.dataset),
                type="tertiary",
            )
            shell.link("data", "Train on it on the Data page", dataset=found.dataset)
