"""The fields to choose your own images: a dataset of yours, what was uploaded before, a new upload, or a path."""

from collections.abc import Iterator, Sequence

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from expertnet.data.catalog import list_datasets
from expertnet.data.class_folders import arrange
from expertnet.data.custom import class_counts
from expertnet.data.images import FORMATS_TEXT, READABLE_SUFFIXES
from expertnet.data.own.versions import find_version
from expertnet.data.uploads import is_upload, save_folder, save_upload
from expertnet.errors import DatasetError
from expertnet.ui.auth import login
from expertnet.ui.own_datasets import upload_labels
from expertnet.ui.shell import act, action, link
from expertnet.ui.train.values import Form, bound, choose_dataset, widget_key
from expertnet.ui.uploads import forget
from expertnet.utils.text import counted, escape

SHOWN = 5  # classes
COMMON = (".jpg", ".png", ".gif", ".bmp", ".webp", ".tif")  # the uploader names them first
LAYOUT = "flowers/rose/1.jpg\nflowers/rose/2.jpg\nflowers/tulip/1.jpg\nflowers/tulip/2.jpg"


def choose_images(form: Form) -> str:
    """Draw the fields for a folder or an archive to upload, and for a path. An upload is saved once and its path filled in.

    Returns what you must do before training can start.
    """
    _offer_own(form)
    st.caption(f"Use a folder with one folder for each class, as below. The images may be {FORMATS_TEXT}.")
    confirm = st.container()  # above the list of files, so that it is in view
    files = st.file_uploader(
        "Upload a folder",
        type=[*COMMON, *sorted(READABLE_SUFFIXES - set(COMMON))],
        accept_multiple_files="directory",
        help="It may also have the folders train and test, with class folders in each. For more than 1,000 images, upload an "
        "archive.",
        key=f"folder {form.uploads}",
        disabled=not login.may_change(),
    )
    if files:  # not at once, so that you see which files could not be uploaded
        label = f"Use {counted(len(files), 'uploaded image')}"
        contents, usable = _contents(files)
        confirm.caption(contents)
        if usable:
            action(confirm, label, "check", "use folder", lambda: _save_folder(form, files), type="primary")
    else:
        st.code(LAYOUT, language=None)
    typed = "" if is_upload(form.path) else form.path
    with st.expander("Archive or path on this computer", expanded=bool(typed), key=f"elsewhere {form.generation}"):
        uploaded = st.file_uploader(
            "Upload an archive",
            type=["zip", "tar", "gz", "xz", "tgz"],
            help="A .zip or .tar of class folders. It is saved in the data folder.",
            key=f"archive {form.uploads}",
            disabled=not login.may_change(),
        )
        st.text_input(
            "Path on this computer",
            value=typed,
            **bound("path"),
            placeholder="/home/me/flowers or /home/me/flowers.zip",
            disabled=not login.may_change(),
            help="The path of a folder, .zip or .tar.",
        )
    if uploaded is not None:
        forget(uploaded)
        form.uploads += 1  # the next rerun draws an empty uploader, so that a file is saved and held in memory once
        act(lambda: choose_dataset(str(save_upload(uploaded.name, uploaded.getvalue()))))
    if files:
        if not usable:
            return "Add your images in folders of classes first."
        return f"Select “{label}” above first."
    return "" if form.dataset else "Add your images above first."


def _offer_own(form: Form) -> None:
    """Draw the datasets that you have made and what you have uploaded, to choose one, and the way to the page that keeps them."""
    found = {row.dataset: row for row in list_datasets() if row.own and row.images}
    dataset, upload = widget_key("own dataset"), widget_key("upload")

    def choose() -> None:
        picked = st.session_state[dataset]
        version = find_version(picked) if picked else None
        if version is not None:
            choose_dataset(version.reference)

    if found:
        st.pills(
            "Your datasets",
            list(found),
            format_func=lambda name: f"{escape(found[name].title)} · {counted(found[name].images, 'image')}",
            key=dataset,
            on_change=choose,
        )
    if uploads := upload_labels():
        paths = list(uploads)
        st.selectbox(
            "Your uploads",
            paths,
            index=paths.index(form.path) if form.path in uploads else None,  # which cannot be used
            format_func=lambda path: uploads.get(path, path),
            key=upload,
            on_change=lambda: choose_dataset(st.session_state[upload] or ""),
            placeholder="Choose images that were uploaded before",
            help="They stay on this computer until you delete them on the Data page.",
            disabled=not login.may_change(),
        )
    link("data", "Make a dataset, or change one, on the Data page")


def _contents(files: list[UploadedFile]) -> tuple[str, bool]:
    """Return the classes of uploaded files, or why they have none, and whether they can be used."""
    try:
        layout = arrange([(name, False) for name in _inside(files)], files[0].name.partition("/")[0])
    except DatasetError as error:
        return f":material/warning: {escape(str(error))}", False
    return f"Classes: {escape(counts_text(layout.classes, class_counts(layout)))}.", True


def _save_folder(form: Form, files: list[UploadedFile]) -> None:
    form.uploads += 1  # an empty uploader, even if the disk is full: what was packed is no longer held
    folder = files[0].name.partition("/")[0]
    try:
        choose_dataset(str(save_folder(f"{folder}.zip", _taken(files))))
    finally:
        forget(*files)


def _inside(files: list[UploadedFile]) -> dict[str, UploadedFile]:
    """Return files by their paths in the uploaded folder, as those of a folder on this computer. Several folders keep their names."""
    folders = {file.name.partition("/")[0] for file in files}
    return {file.name.partition("/")[2] if len(folders) == 1 else file.name: file for file in files}


def _taken(files: list[UploadedFile]) -> Iterator[tuple[str, bytes]]:
    """Yield files in the order of their paths, and free the memory of each after it."""
    for name, file in sorted(_inside(files).items()):
        yield name, file.getvalue()
        forget(file)
        file.close()


def counts_text(classes: Sequence[str], counts: Sequence[int]) -> str:
    """Return the first classes with their numbers of images."""
    listed = ", ".join(f"{name} ({count:,})" for name, count in list(zip(classes, counts, strict=True))[:SHOWN])
    return listed + (" …" if len(classes) > SHOWN else "")
