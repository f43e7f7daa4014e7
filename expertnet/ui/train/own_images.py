"""Your own images in the form: their path or upload, and what they contain."""

import streamlit as st
from streamlit.delta_generator import DeltaGenerator
from streamlit.runtime.uploaded_file_manager import UploadedFile

from expertnet.data.custom import packed, save_upload, scan
from expertnet.data.images import SUFFIXES
from expertnet.errors import AccessError, DatasetError
from expertnet.settings.fields import build_settings, with_labels
from expertnet.settings.schema import Settings
from expertnet.training.pace import fitted, step_count, training_images
from expertnet.ui.auth import login
from expertnet.ui.shell import act, action, progress_bar
from expertnet.ui.train.values import Form, bound, put
from expertnet.ui.uploads import forget
from expertnet.utils.text import counted, escape

SHOWN = 5  # class names
_inspected: set[str] = set()  # paths that users of this server have chosen to inspect


def path_fields(form: Form) -> None:
    """Draw the fields for a folder or an archive to upload, and for a path. An upload is saved once and its path filled in."""
    files = st.file_uploader(
        "Upload a folder",
        type=sorted(SUFFIXES),
        accept_multiple_files="directory",
        help="A folder of class folders, such as rose/1.jpg and tulip/1.jpg, or of train/ and test/ with class folders in each. "
        "For more than 1,000 images, upload an archive.",
        key=f"folder {form.uploads}",
        disabled=not login.may_change(),
    )
    if files:  # not at once, so that you see which files could not be uploaded
        images = counted(len(files), "uploaded image")
        action(
            st.container(), f"Use {images}", "check", "use folder", lambda: _save_folder(form, files), type="primary"
        )
    with st.expander("Archive or path on this computer", expanded=bool(form.path), key=f"elsewhere {form.generation}"):
        uploaded = st.file_uploader(
            "Upload an archive",
            type=["zip", "tar", "gz", "xz", "tgz"],
            help="A .zip or .tar of class folders. It is saved in the data folder.",
            key=f"archive {form.uploads}",
            disabled=not login.may_change(),
        )
        st.text_input(
            "Path on this computer",
            value=form.path,
            **bound("path"),
            placeholder="/home/me/flowers.zip",
            disabled=not login.may_change(),
            help="The path of a folder, .zip or .tar.",
        )
    if uploaded is not None:
        forget(uploaded)
        form.uploads += 1  # the next rerun draws an empty uploader, so that a file is saved and held in memory once
        act(lambda: _save(form, uploaded.name, uploaded.getvalue()))


def _save_folder(form: Form, files: list[UploadedFile]) -> None:
    archive = packed({file.name: file.getvalue() for file in files})
    folder = files[0].name.partition("/")[0]
    forget(*files)
    form.uploads += 1
    _save(form, f"{folder}.zip", archive)


def _save(form: Form, name: str, content: bytes) -> None:
    form.path = str(save_upload(name, content))
    form.generation += 1


def inspect_images(form: Form, settings: Settings, place: DeltaGenerator) -> str:
    """Describe the images at `place`, and return why training cannot start with them, or "" if it can.

    A path from the URL is inspected only after you agree, so that no link leads the server through its disk.
    """
    data, dataset = settings.data, settings.data.dataset
    if not form.dataset:
        return "Upload a folder or an archive of class folders, or enter its path."
    if dataset == form.url_dataset and dataset not in _inspected:
        place.button(
            "Inspect these images",
            icon=":material/visibility:",
            on_click=_inspected.add,
            args=(dataset,),
            key="look",
            **login.reserved(),
        )
        return "The path comes from the URL. Inspect the images first."
    try:
        with login.changing(), place, progress_bar() as progress:
            found = scan(data, progress)
    except (AccessError, DatasetError) as error:
        return with_labels(str(error))
    _inspected.add(dataset)
    classes = ", ".join(found.classes[:SHOWN]) + (" …" if len(found.classes) > SHOWN else "")
    place.caption(
        f"{found.sentence}. Classes: {escape(classes)}. "
        "Training skips images that cannot be read and lists them in the run's log."
    )
    _fit(form, settings, place)
    return ""


def _fit(form: Form, settings: Settings, place: DeltaGenerator) -> None:
    """Give few images enough steps unless you have changed the preset's, say so, and offer to undo it."""
    preset, images = build_settings(form.preset, settings.data.dataset).training, training_images(settings)
    if images is None:
        return
    own, now = (preset.batch_size, preset.epochs), (settings.training.batch_size, settings.training.epochs)
    fit = fitted(settings.model_copy(update={"training": preset}), images)
    this = form.preset, settings.data.dataset
    if fit != own == now and form.fitted != this:
        form.fitted = this
        put(batch_size=fit[0], epochs=fit[1])
        st.rerun()
    if fit != own and now == fit:
        row = place.container(horizontal=True, vertical_alignment="center")
        row.caption(
            f"Batch size {fit[0]} and {fit[1]} epochs instead of {own[0]} and {own[1]}, so that few images give "
            f"{counted(step_count(settings, images), 'step')}.",
            width="content",
        )
        row.button("Undo", type="tertiary", on_click=put, kwargs={"batch_size": own[0], "epochs": own[1]}, key="unfit")
