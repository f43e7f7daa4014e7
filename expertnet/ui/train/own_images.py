"""Your own images in the form: what they contain, or the fields to choose them."""

from pathlib import Path

import streamlit as st

from expertnet.data.custom import Scan
from expertnet.data.datasets import dataset_title, is_missing
from expertnet.data.own.folders import is_version
from expertnet.data.own.versions import Version, find_version
from expertnet.data.samples import first_images, read_samples
from expertnet.data.uploads import is_upload
from expertnet.settings.fields import build_settings
from expertnet.settings.schema import DataSettings, Settings
from expertnet.training.pace import fitted, step_count, training_images
from expertnet.ui.auth import login
from expertnet.ui.own_datasets import keep_button, look_at, parent_button, upload_labels
from expertnet.ui.train.choose_images import SHOWN, choose_images, counts_text
from expertnet.ui.train.start_from import start_field
from expertnet.ui.train.values import Form, choose_dataset, put
from expertnet.utils.text import counted, cut, escape

THUMBNAIL = 84  # pixels
_inspected: set[str] = set()  # paths that users of this server have chosen to inspect


def own_images(form: Form, settings: Settings | None) -> str:
    """Draw what was chosen, or the fields to choose. Return why training cannot start with it, or ""."""
    found, problem, meant = None, "", None
    if settings is not None and form.dataset:
        found, problem, meant = _inspect(form, settings.data)
    parent_button(meant, lambda parent: choose_dataset(str(parent)))
    if found is None and not (settings is None and is_upload(form.dataset)):
        return choose_images(form) or problem
    row = st.container(horizontal=True, vertical_alignment="center")
    name, contents = escape(dataset_title(form.dataset)), f": {found.sentence}." if found else ""
    row.markdown(f":material/check_circle: **{name}**{contents}", width="content")
    uploaded = form.dataset in upload_labels()
    if uploaded and found is not None:
        keep_button(row, form.dataset, lambda version: _choose_kept(form, version), type="tertiary")
    row.button(
        "Choose other images",
        type="tertiary",
        on_click=_choose_others,
        args=(form,),
        key="other images",
        help="You can choose these again under “Your uploads”." if uploaded else None,
    )
    if found is None or settings is None:
        return ""
    if read_samples(settings.data, found.examples):
        st.rerun()  # shows them in the card
    _thumbnails(form.dataset, found)
    st.caption(
        f"Classes: {escape(counts_text(found.classes, found.counts))}. Training skips images that cannot be read and lists "
        "them in the run's log."
    )
    _fit(form, settings)
    start_field(form, found.train // len(found.classes))
    return ""


def _thumbnails(dataset: str, found: Scan) -> None:
    """Draw the first image of each of the first classes."""
    images = first_images(dataset)
    shown = [
        (name, images[path])
        for name, path in zip(found.classes[:SHOWN], found.examples, strict=False)
        if path in images
    ]
    row = st.container(horizontal=True, gap="small")
    for name, image in shown:
        row.image(image.permute(1, 2, 0).numpy(), caption=escape(cut(name, 12)), width=THUMBNAIL, alt=name)


def _choose_others(form: Form) -> None:
    form.path, form.fitted = "", ("", "")
    form.generation += 1


def _choose_kept(form: Form, version: Version) -> None:
    """Choose the dataset that was made of an upload, with the settings that were fitted to it."""
    choose_dataset(version.reference)
    form.fitted = form.fitted[0], version.reference


def _inspect(form: Form, data: DataSettings) -> tuple[Scan | None, str, Path | None]:
    """Return what the images are, or None, why training cannot start with them, and the folder that was probably meant.

    A path from the URL is inspected only after you agree, so that no link leads the server through its disk.
    """
    dataset = data.dataset
    is_path = find_version(dataset) is None and not (is_version(dataset) and is_missing(data))
    if dataset == form.url_dataset and dataset not in _inspected and is_path:
        st.button(
            "Inspect these images",
            icon=":material/visibility:",
            on_click=_inspected.add,
            args=(dataset,),
            key="look",
            **login.reserved(),
        )
        return None, "The path comes from the URL. Inspect the images first.", None
    found, problem, meant = look_at(data)
    if found is not None:
        _inspected.add(dataset)
    return found, problem, meant


def _fit(form: Form, settings: Settings) -> None:
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
        row = st.container(horizontal=True, vertical_alignment="center")
        row.caption(
            f"Batch size {fit[0]} and {fit[1]} epochs instead of {own[0]} and {own[1]}, so that few images give "
            f"{counted(step_count(settings, images), 'step')}.",
            width="content",
        )
        row.button("Undo", type="tertiary", on_click=put, kwargs={"batch_size": own[0], "epochs": own[1]}, key="unfit")
