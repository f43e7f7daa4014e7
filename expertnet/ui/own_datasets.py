"""Your own images on several pages: what there is to choose from, what is wrong with a choice, and how an upload becomes a dataset."""

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from expertnet.data.custom import Scan, scan
from expertnet.data.own.versions import Version
from expertnet.data.uploads import keep_upload, list_uploads
from expertnet.errors import AccessError, DatasetError
from expertnet.settings.fields import with_labels
from expertnet.settings.schema import DataSettings
from expertnet.ui.auth import login
from expertnet.ui.shell import action, progress_bar, toast
from expertnet.utils.text import escape, time_text


def distinct(labels: Mapping[str, str], mark: Callable[[str], str] = str) -> dict[str, str]:
    """Return labels by key, with a mark of the key at those that several have: a menu tells its options apart by their text."""
    alike = Counter(labels.values())
    return {key: label if alike[label] == 1 else f"{label} · {mark(key)}" for key, label in labels.items()}


def upload_labels(kept: bool = False) -> dict[str, str]:
    """Return what was uploaded on the Train page, newest first: by path, its title and when it came.

    What is one of your datasets by now is left out, or marked if `kept`.
    """
    labels = {
        str(upload.path): f"{upload.title} · {time_text(upload.time)}{' · kept' if upload.dataset else ''}"
        for upload in list_uploads()
        if kept or not upload.dataset
    }
    return distinct(labels, lambda path: Path(path).parent.name[:4])


def keep_button(place: DeltaGenerator, path: str, then: Callable[[Version], None], **look: str) -> None:
    """Draw the button that makes a dataset of an upload. `then` is called with its first version."""

    def keep() -> None:
        with progress_bar() as progress:
            added = keep_upload(Path(path), progress)
        toast(f"“{escape(added.version.contents.title)}” is now one of your datasets. {escape(added.sentence)}")
        then(added.version)

    help = "Makes a dataset of these images, which you can look at and change on the Data page."
    action(place, "Keep as a dataset", "photo_library", f"keep {path}", keep, help=help, **look)


def look_at(data: DataSettings) -> tuple[Scan | None, str, Path | None]:
    """Return what images of your own are, or None, why training cannot start with them, and the folder that was probably meant."""
    try:
        with login.changing(), progress_bar() as progress:
            return scan(data, progress), "", None
    except (AccessError, DatasetError) as error:
        return None, with_labels(str(error)), error.meant if isinstance(error, DatasetError) else None


def parent_button(meant: Path | None, choose: Callable[[Path], None]) -> None:
    """Draw the button that chooses the folder that was probably meant, if there is one."""
    if meant is not None:
        label = f"Use {escape(meant.name)}, the parent folder"
        st.button(label, icon=":material/drive_folder_upload:", on_click=choose, args=(meant,), key="parent")
