"""Your own images in the form: their path or upload, and what they contain."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from expertnet.data.catalog import list_datasets
from expertnet.data.class_folders import arrange
from expertnet.data.custom import Scan, class_counts, is_upload, save_folder, save_upload, scan
from expertnet.data.datasets import dataset_title
from expertnet.data.images import FORMATS_TEXT, READABLE_SUFFIXES
from expertnet.data.own.versions import find_version
from expertnet.data.samples import first_images, read_samples
from expertnet.errors import AccessError, DatasetError
from expertnet.settings.fields import build_settings, with_labels
from expertnet.settings.schema import DataSettings, Settings
from expertnet.training.pace import fitted, step_count, training_images
from expertnet.ui.auth import login
from expertnet.ui.shell import act, action, link, progress_bar
from expertnet.ui.train.start_from import start_field
from expertnet.ui.train.values import Form, bound, choose_dataset, put, widget_key
from expertnet.ui.uploads import forget
from expertnet.utils.text import counted, cut, escape

SHOWN, THUMBNAIL = 5, 84  # classes, and pixels of their images
COMMON = (".jpg", ".png", ".gif", ".bmp", ".webp", ".tif")  # the uploader names them first
LAYOUT = "flowers/rose/1.jpg\nflowers/rose/2.jpg\nflowers/tulip/1.jpg\nflowers/tulip/2.jpg"
_inspected: set[str] = set()  # paths that users of this server have chosen to inspect


def own_images(form: Form, settings: Settings | None) -> str:
    """Draw what was chosen, or the fields to choose. Return why training cannot start with it, or ""."""
    found, problem, meant = None, "", None
    if settings is not None and form.dataset:
        found, problem, meant = _inspect(form, settings.data)
    if meant is not None:
        label = f"Use {escape(meant.name)}, the parent folder"
        st.button(label, icon=":material/drive_folder_upload:", on_click=_choose_path, args=(form, meant), key="parent")
    if found is None and not (settings is None and is_upload(form.dataset)):
        return _choose(form) or problem
    row = st.container(horizontal=True, vertical_alignment="center")
    name, contents = escape(dataset_title(form.dataset)), f": {found.sentence}." if found else ""
    row.markdown(f":material/check_circle: **{name}**{contents}", width="content")
    row.button("Choose other images", type="tertiary", on_click=_choose_others, args=(form,), key="other images")
    if found is None or settings is None:
        return ""
    if read_samples(settings.data, found.examples):
        st.rerun()  # shows them in the card
    _thumbnails(form.dataset, found)
    st.caption(
        f"Classes: {escape(_counts(found.classes, found.counts))}. Training skips images that cannot be read and lists "
        "them in the run's log."
    )
    _fit(form, settings)
    start_field(form, found.train // len(found.classes))
    return ""


def _counts(classes: Sequence[str], counts: Sequence[int]) -> str:
    """Return the first classes with their numbers of images."""
    listed = ", ".join(f"{name} ({count:,})" for name, count in list(zip(classes, counts, strict=True))[:SHOWN])
    return listed + (" …" if len(classes) > SHOWN else "")


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


def _choose(form: Form) -> str:
    """Draw the fields for a folder or an archive to upload, and for a path. An upload is saved once and its path filled in.

    Returns what you must do before training can start.
    """
    _offer_own()
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
        images = counted(len(files), "uploaded image")
        contents, usable = _contents(files)
        confirm.caption(contents)
        if usable:
            action(confirm, f"Use {images}", "check", "use folder", lambda: _save_folder(form, files), type="primary")
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
        act(lambda: _choose_path(form, save_upload(uploaded.name, uploaded.getvalue())))
    if files:
        if not usable:
            return "Add your images in folders of classes first."
        return f"Confirm the {counted(len(files), 'image')} above first."
    return "" if form.dataset else "Add your images above first."


def _offer_own() -> None:
    """Draw the datasets that you have made, to choose one, and the way to the page that makes them."""
    found = {row.dataset: row for row in list_datasets() if row.own and row.images}

    def choose() -> None:
        picked = st.session_state[widget_key("own dataset")]
        version = find_version(picked) if picked else None
        if version is not None:
            choose_dataset(version.reference)

    if found:
        st.pills(
            "Your datasets",
            list(found),
            format_func=lambda name: f"{escape(found[name].title)} · {counted(found[name].images, 'image')}",
            key=widget_key("own dataset"),
            on_change=choose,
        )
    link("data", "Make a dataset, or change one, on the Data page")


def _contents(files: list[UploadedFile]) -> tuple[str, bool]:
    """Return the classes of uploaded files, or why they have none, and whether they can be used."""
    try:
        layout = arrange([(name, False) for name in _inside(files)], files[0].name.partition("/")[0])
    except DatasetError as error:
        return f":material/warning: {escape(str(error))}", False
    return f"Classes: {escape(_counts(layout.classes, class_counts(layout)))}.", True


def _save_folder(form: Form, files: list[UploadedFile]) -> None:
    form.uploads += 1  # an empty uploader, even if the disk is full: what was packed is no longer held
    folder = files[0].name.partition("/")[0]
    try:
        _choose_path(form, save_folder(f"{folder}.zip", _taken(files)))
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


def _choose_path(form: Form, path: Path) -> None:
    form.path = str(path)
    form.generation += 1


def _inspect(form: Form, data: DataSettings) -> tuple[Scan | None, str, Path | None]:
    """Return what the images are, or None, why training cannot start with them, and the folder that was probably meant.

    A path from the URL is inspected only after you agree, so that no link leads the server through its disk.
    """
    dataset = data.dataset
    if dataset == form.url_dataset and dataset not in _inspected and find_version(dataset) is None:
        st.button(
            "Inspect these images",
            icon=":material/visibility:",
            on_click=_inspected.add,
            args=(dataset,),
            key="look",
            **login.reserved(),
        )
        return None, "The path comes from the URL. Inspect the images first.", None
    try:
        with login.changing(), progress_bar() as progress:
            found = scan(data, progress)
    except (AccessError, DatasetError) as error:
        return None, with_labels(str(error)), error.meant if isinstance(error, DatasetError) else None
    _inspected.add(dataset)
    return found, "", None


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
