"""Add images to a dataset: files and folders, archives and the camera. What is uploaded is saved before the next click."""

import re
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from expertnet.data.images import FORMATS_TEXT, SUFFIXES
from expertnet.data.own import edits
from expertnet.data.own.intake import Added, add_files, discard, files_at, finish, waiting
from expertnet.data.own.versions import Version
from expertnet.ui import choices
from expertnet.ui.auth import login
from expertnet.ui.shell import act, action
from expertnet.ui.uploads import forget
from expertnet.utils.files import remove_leftovers
from expertnet.utils.text import counted, escape

UPLOADS, RESULT = (
    "data uploads",
    "data result",
)  # in the session: a counter in the keys of uploaders, and the last result
VIEW = "Add"  # stays open: an empty dataset shows it even if another view is chosen
FILES, FOLDER, ARCHIVE, CAMERA = "Images", "Folder", "Archive", "Camera"
KINDS = {FILES: "image", FOLDER: "folder_open", ARCHIVE: "folder_zip", CAMERA: "photo_camera"}


def add_view(version: Version) -> None:
    """Draw what adds images. Each upload becomes a version at once."""
    _arrived(version)
    _result(version.dataset)
    kind = st.segmented_control(
        "Add",
        list(KINDS),
        default=FILES,
        required=True,
        key="add kind",
        format_func=lambda name: f":material/{KINDS[name]}: {name}",
        label_visibility="collapsed",
    )
    number, locked = st.session_state.setdefault(UPLOADS, 0), not login.may_change()
    key = f"{kind} {version.dataset} {number}"
    if kind == FOLDER:
        st.caption("The folder that an image is in names its class.")
        files = st.file_uploader(
            "Folder of class folders", sorted(SUFFIXES), accept_multiple_files="directory", key=key, disabled=locked
        )
        _save_uploads(version, files, "")
    elif kind == ARCHIVE:
        st.caption("A .zip or .tar of class folders.")
        archive = st.file_uploader("Archive", ["zip", "tar", "gz", "xz", "tgz"], key=key, disabled=locked)
        if archive is not None:
            _save_archive(version, archive)
    else:
        label = _pick_class(version)
        key = f"{key} {label}"  # or files for a class that another tab removes would join the next one
        if kind == FILES:
            files = st.file_uploader(
                f"Images of the class ({FORMATS_TEXT})",
                sorted(SUFFIXES),
                accept_multiple_files=True,
                key=key,
                disabled=locked or not label,
            )
            _save_uploads(version, files, label)
        else:
            photo = st.camera_input("Photo", key=key, disabled=locked or not label)
            if photo is not None:
                _save_uploads(version, [photo], label)


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


def _save_uploads(version: Version, uploads: list[UploadedFile], label: str) -> None:
    if uploads:
        files = [(upload.name, upload.getvalue()) for upload in uploads]
        _add(version, files, label, uploads)


def _save_archive(version: Version, upload: UploadedFile) -> None:
    remove_leftovers(version.folder, ".upload-*")
    name = re.sub(r"[^\w.()-]+", "_", upload.name)[-60:].lstrip(".") or "archive"  # errors name the file
    with login.changing(), TemporaryDirectory(prefix=".upload-", dir=version.folder) as folder:
        file = Path(folder, name)
        file.write_bytes(upload.getvalue())
        _add(version, files_at(file), "", [upload])


def _add(version: Version, files: Iterable[tuple[str, bytes]], label: str, uploads: list[UploadedFile]) -> None:
    """Save uploads as a version, and empty the uploader, so that they are saved and held in memory once."""
    choices.write("view", VIEW)

    def save() -> None:
        with st.spinner("Adding the images…"):  # no progress: whatever the script draws lets a click end it halfway
            try:
                st.session_state[RESULT] = version.dataset, add_files(version.dataset, files, label)
            finally:
                st.session_state[UPLOADS] += 1
                forget(*uploads)

    act(save)


def _result(dataset: str) -> None:
    """Draw what became of the last upload."""
    of, added = st.session_state.get(RESULT, ("", None))
    if of != dataset or not isinstance(added, Added):
        return
    if added.rejected:
        st.warning(escape(added.sentence), icon=":material/warning:")
        with st.expander(f"{counted(len(added.rejected), 'file')} not added", key=f"rejected {added.version.number}"):
            st.dataframe([{"File": path, "Why": reason} for path, reason in added.rejected], hide_index=True)
    else:
        st.success(escape(added.sentence), icon=":material/check:")


def _arrived(version: Version) -> None:
    """Draw what an interrupted upload has left, to add or to discard."""
    dataset, found = version.dataset, waiting(version.dataset)
    if not found.paths:
        return
    row = st.container(horizontal=True, vertical_alignment="center")
    row.markdown(
        f":material/info: {counted(len(found.images), 'image')} of an interrupted upload arrived.", width="content"
    )

    def add() -> None:
        st.session_state[RESULT] = dataset, finish(dataset)

    action(row, "Add them", "check", "finish upload", add, type="primary")
    action(row, "Discard", "delete", "discard upload", lambda: discard(dataset))
