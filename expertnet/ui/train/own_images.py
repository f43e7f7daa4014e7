"""Your own images in the form: their path or upload, and what they contain."""

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from expertnet.data.custom import save_upload, scan
from expertnet.errors import AccessError, DatasetError
from expertnet.settings.fields import build_settings, with_labels
from expertnet.settings.schema import Settings
from expertnet.training.pace import fitted, step_count, training_images
from expertnet.ui.auth import login
from expertnet.ui.shell import progress_bar, shown_error
from expertnet.ui.train.values import Form, bound, put
from expertnet.ui.uploads import forget
from expertnet.utils.text import counted, escape

SHOWN = 5  # class names
_inspected: set[str] = set()  # paths that users of this server have chosen to inspect


def path_fields(form: Form) -> None:
    """Draw the fields for a path and an upload. A finished upload is saved once and its path filled in."""
    st.text_input(
        "Path on this computer",
        value=form.path,
        **bound("path"),
        placeholder="/home/me/flowers.zip",
        disabled=not login.may_change(),
        help="A folder, .zip or .tar of class folders, such as rose/1.jpg and tulip/1.jpg, or of train/ and test/ with "
        "class folders in each.",
    )
    uploaded = st.file_uploader(
        "Upload an archive instead",
        type=["zip", "tar", "gz", "xz", "tgz"],
        help="A .zip or .tar of class folders. It is saved in the data folder.",
        key=f"archive {form.uploads}",
        disabled=not login.may_change(),
    )
    if uploaded is None:
        return
    form.uploads += 1  # the next rerun draws an empty uploader, so that a file is saved and held in memory once
    forget(uploaded)
    with shown_error():
        with login.changing():
            form.path = str(save_upload(uploaded.name, uploaded.getvalue()))
        form.generation += 1
        st.rerun()


def inspect_images(form: Form, settings: Settings, place: DeltaGenerator) -> str:
    """Describe the images at `place`, and return why training cannot start with them, or "" if it can.

    A path from the URL is inspected only after you agree, so that no link leads the server through its disk.
    """
    data, dataset = settings.data, settings.data.dataset
    if not form.dataset:
        return "Enter the path of a folder or archive of class folders, or upload an archive."
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
    except AccessError as error:
        return str(error)
    except DatasetError as error:
        place.error(escape(with_labels(str(error))), icon=":material/error:")
        return "These images cannot be used. The message under “Dataset” says why."
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
