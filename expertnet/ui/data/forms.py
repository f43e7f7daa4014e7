"""Changes to a dataset that several views offer."""

from collections.abc import Callable, Sequence

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from expertnet.data.own import edits
from expertnet.data.own.versions import Version
from expertnet.ui.auth import login
from expertnet.ui.shell import act, action


def move_popover(place: DeltaGenerator, version: Version, selected: Sequence[str], but: str = "") -> None:
    """Draw the button that moves images to a class, any but `but`, by its id."""
    others = {label: name for label, name in version.contents.classes.items() if label != but}
    if not others:
        return
    key = f"{version.number} {hash(tuple(selected))}"
    menu = place.popover("Move", icon=":material/drive_file_move:", key=f"move {key}")
    labels = sorted(others, key=others.__getitem__)
    target = menu.selectbox("To the class", labels, format_func=others.__getitem__, key=f"target {key}")

    def move() -> None:
        edits.move_images(version.dataset, selected, target)

    action(menu, "Move", "check", f"moved {key}", move, type="primary")


def rename_class_form(
    place: DeltaGenerator, version: Version, label: str, done: Callable[[str], None] = lambda name: None
) -> None:
    """Draw the form that renames a class, by its id. `done` is called with its new name."""
    key = f"{label} {version.number}"
    with place, st.form(f"rename {key}", border=False):
        row = st.container(horizontal=True, vertical_alignment="bottom")
        name = row.text_input("Class name", version.contents.classes[label], key=f"class name {key}", width=240)

        def rename() -> None:
            done(edits.rename_class(version.dataset, label, name).contents.classes[label])

        if row.form_submit_button("Rename", key=f"rename class {key}", **login.reserved()):
            act(rename)
