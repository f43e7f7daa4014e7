"""Add images to a dataset: files, folders, archives and the camera. What is uploaded is saved before the next click."""

import streamlit as st

from expertnet.data.images import FORMATS_TEXT
from expertnet.data.own import edits
from expertnet.data.own.added import Outcome
from expertnet.data.own.intake import add_files, finish
from expertnet.data.own.space import discard
from expertnet.data.own.uploads import Upload, uploads_of
from expertnet.data.own.versions import Version
from expertnet.ui import choices
from expertnet.ui.auth import login
from expertnet.ui.data.dataset import rejected_table
from expertnet.ui.data.dropzone import dropzone
from expertnet.ui.data.receiver import result_of
from expertnet.ui.shell import act, action
from expertnet.ui.uploads import forget
from expertnet.utils.text import counted, escape

PHOTOS, RESULT = (
    "photos taken",
    "data result",
)  # in the session: a counter in the key of the camera, and the last result
VIEW = "Add"  # stays open, although a dataset with classes opens on another view
FILES, FOLDERS, CAMERA = "Into one class", "Folder or archive", "Camera"
KINDS = (FILES, FOLDERS, CAMERA)
TICK = 2.0  # seconds between looks at an upload from another tab


def add_view(version: Version) -> None:
    """Draw what adds images. Each upload becomes a version at once."""
    top = st.container()
    kind = st.segmented_control(
        "Add", KINDS, default=FILES, required=True, key="add kind", label_visibility="collapsed"
    )
    locked, dataset = not login.may_change(), version.dataset

    def ended(upload: str) -> None:
        choices.write("view", VIEW)
        st.session_state[RESULT] = dataset, result_of(dataset, upload)

    if kind == FOLDERS:
        hint = (
            "Drop a folder of class folders, or a .zip or .tar of them. The folder that an image is in names its class."
        )
        dropzone(dataset, hint, ("folder", "archive"), ended, locked=locked)
    else:
        label = _pick_class(version)
        if kind == CAMERA:
            _camera(version, label, locked or not label)
        else:
            hint = f"Drop images of the class, or folders of them ({FORMATS_TEXT})." if label else "Add a class first."
            dropzone(dataset, hint, ("files", "folder"), ended, label, locked or not label)
    with top:
        _arrived(dataset)
        _result(dataset)


def _pick_class(version: Version) -> str:
    """Draw the choice of a class and a form for a new one. Returns the id, or "" if there is no class yet."""
    classes = version.contents.classes
    row = st.container(horizontal=True, vertical_alignment="bottom")
    key = f"to class {version.dataset}"
    labels = sorted(classes, key=classes.__getitem__)
    asked = st.session_state.pop(f"next {key}", None)
    if asked in labels:
        st.session_state[key] = asked
    elif st.session_state.get(key) not in labels:
        st.session_state.pop(key, None)
    label = ""
    if labels:
        label = row.selectbox("Class", labels, format_func=classes.__getitem__, key=key, width=240)
    with row, st.form(f"new class {version.reference}", border=False):
        inner = st.container(horizontal=True, vertical_alignment="bottom")
        name = inner.text_input("New class", key=f"new class name {version.reference}", placeholder="rose", width=200)
        if inner.form_submit_button("Add class", key=f"add class {version.reference}", **login.reserved()):
            act(lambda: _add_class(version.dataset, name, key))
    return label


def _add_class(dataset: str, name: str, key: str) -> None:
    version = edits.add_class(dataset, name)
    choices.write("view", VIEW)
    st.session_state[f"next {key}"] = edits.class_named(version.contents, name)


def _camera(version: Version, label: str, disabled: bool) -> None:
    number = st.session_state.setdefault(PHOTOS, 0)
    # Or a photo for a class that another tab removes would join the next one
    photo = st.camera_input("Photo", key=f"photo {version.dataset} {label} {number}", disabled=disabled)
    if photo is None:
        return
    choices.write("view", VIEW)

    def save() -> None:
        with st.spinner("Adding the photo…"):
            try:
                added = add_files(version.dataset, [(photo.name, photo.getvalue())], label)
                st.session_state[RESULT] = version.dataset, added.outcome
            finally:
                st.session_state[PHOTOS] += 1
                forget(photo)

    act(save)


def _result(dataset: str) -> None:
    """Draw what became of the last upload."""
    of, added = st.session_state.get(RESULT, ("", None))
    if of != dataset or not isinstance(added, Outcome):
        return
    if added.rejected:
        st.warning(escape(added.sentence), icon=":material/warning:")
        with st.expander("Files that were not added", key=f"rejected {added.version}"):
            rejected_table(added.rejected)
    else:
        st.success(escape(added.sentence), icon=":material/check:")


def _arrived(dataset: str) -> None:
    """Draw uploads that are in no version yet: those under way in any tab, and interrupted ones to add or to discard."""
    found = uploads_of(dataset)
    drawn = {upload for upload in found if upload.under_way}
    for upload in found:
        if upload not in drawn:
            _interrupted(upload)
    if not drawn:
        return

    def look() -> None:
        if {upload for upload in uploads_of(dataset) if upload.under_way} != drawn:
            st.rerun()
        count = sum(len(upload.arrived().images) for upload in drawn)
        st.caption(f":material/upload: An upload is under way. {counted(count, 'image')} arrived so far.")

    login.fragment(look, run_every=TICK)()


def _interrupted(upload: Upload) -> None:
    row, count = st.container(horizontal=True, vertical_alignment="center"), len(upload.arrived().images)
    row.markdown(f":material/info: {counted(count, 'image')} of an interrupted upload arrived.", width="content")

    def add() -> None:
        choices.write("view", VIEW)
        st.session_state[RESULT] = upload.dataset, finish(upload).outcome

    action(row, "Add them", "check", f"finish {upload.id}", add, type="primary")
    action(row, "Discard", "delete", f"discard {upload.id}", lambda: discard(upload))
