"""What was uploaded on the Train page: to keep as a dataset, or to delete."""

from pathlib import Path

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from expertnet.data.own.versions import Version
from expertnet.data.uploads import remove_upload
from expertnet.errors import DatasetError
from expertnet.store.index import READABLE, run_rows
from expertnet.store.run_store import RunStore
from expertnet.store.status import ACTIVE_STATES
from expertnet.sweeps.sweep import all_sweeps
from expertnet.ui import choices
from expertnet.ui.data.chosen import OPEN
from expertnet.ui.own_datasets import keep_button, upload_labels
from expertnet.ui.shell import action


def uploads_panel(place: DeltaGenerator) -> None:
    """Draw what was uploaded on the Train page, if there is anything."""
    uploads, not_kept = upload_labels(kept=True), upload_labels()
    if not uploads:
        return
    state = f"{len(uploads)} {len(not_kept)}"  # in keys, so that the panel closes when something is kept or deleted
    with place.popover(f"Uploads ({len(uploads)})", icon=":material/upload:", key=f"uploads {state}"):
        st.write("Images that were uploaded on the Train page. They stay on this computer until you delete them.")
        path = st.selectbox(
            "Uploads", list(uploads), format_func=lambda path: uploads.get(path, path), key=f"uploaded {state}"
        )
        if path in not_kept:
            keep_button(st.container(), path, _open)
        ask = st.expander("Delete permanently", key=f"ask {path}")
        ask.write("You cannot undo this. Runs that were trained on these images keep decoded copies of them.")

        def delete() -> None:
            if title := _needs(path):
                raise DatasetError(f"“{title}” needs these images. Stop it first, or wait until it has ended.")
            remove_upload(Path(path))

        action(ask, "Delete", "delete_forever", f"delete {path}", delete)


def _open(version: Version) -> None:
    choices.write(OPEN, version.dataset)


def _needs(path: str) -> str:
    """Return the title of a run or a sweep that trains or waits and names an upload, or ""."""
    store = RunStore()
    runs = (row.run for row in run_rows(store, READABLE, state=ACTIVE_STATES))
    sweeps = (sweep for sweep in all_sweeps(store) if sweep.active)
    titles = [run.title for run in runs if run.settings().data.dataset == path]
    titles += [sweep.title for sweep in sweeps if sweep.plan().settings.data.dataset == path]
    return titles[0] if titles else ""
