"""The list of datasets, of which one is open, and what makes, removes and restores them."""

from functools import partial

import streamlit as st
from streamlit.delta_generator import DeltaGenerator
from torch import Tensor

from expertnet.data.catalog import Listed
from expertnet.data.own.datasets import create_dataset, delete_dataset, remove_dataset, restore_dataset
from expertnet.data.own.folders import trashed_ids
from expertnet.data.samples import samples
from expertnet.store.run_store import RunStore
from expertnet.store.trash import named_images
from expertnet.ui import choices
from expertnet.ui.auth import login
from expertnet.ui.data.tiles import cover
from expertnet.ui.filmstrip import PAGE_COLUMNS, filmstrip
from expertnet.ui.shell import act, action, toast
from expertnet.utils.text import counted, escape, size_text

OPEN = "dataset"  # in the URL: the id of the open dataset


def pick_dataset(rows: list[Listed]) -> Listed:
    """Draw a card for each dataset and return the open one."""
    names = [row.dataset for row in rows]
    asked = choices.read(OPEN)
    if asked and asked not in names:
        toast(f"There is no dataset “{escape(asked[:80])}”. It was removed, or the URL is mistyped.")
        choices.write(OPEN, "")
    place = names.index(asked) if asked in names else 0

    def choose(picked: int) -> None:
        choices.write(OPEN, names[picked])

    titles = [row.title for row in rows]
    about = [f"{row.title}, {counted(row.images, 'image')}" for row in rows]
    images = [_picture(row) for row in rows]
    filmstrip("Datasets", images, titles, about, "datasets", place, choose, cards=True, columns=PAGE_COLUMNS)
    return rows[place]


def _picture(row: Listed) -> Tensor | str:
    if row.own:
        return cover(row.dataset)
    image = samples(row.dataset)
    missing = f"{size_text(row.download)}\nto download" if row.download else ""
    return missing if image is None else image


def new_dataset(place: DeltaGenerator) -> None:
    """Draw the form that makes a dataset, and opens it."""
    made = st.session_state.setdefault("datasets made", 0)
    with (
        place.popover("New dataset", icon=":material/add:", key=f"new dataset {made}"),
        st.form(f"new {made}", border=False),
    ):
        title = st.text_input("Name", key=f"title {made}", placeholder="Flowers", max_chars=100)
        if st.form_submit_button("Create", type="primary", key=f"create {made}", **login.reserved()):
            act(lambda: _create(title))


def _create(title: str) -> None:
    choices.write(OPEN, create_dataset(title).dataset)
    st.session_state["datasets made"] += 1


def remove_button(place: DeltaGenerator, row: Listed) -> None:
    """Draw the button that moves a dataset to the trash."""
    place.write(
        f"This moves “{escape(row.title)}” to the trash, from where you can restore it. Runs that were trained on it keep "
        "their images."
    )

    def remove() -> None:
        remove_dataset(row.dataset)
        choices.write(OPEN, "")

    action(place, "Remove this dataset", "delete", f"remove {row.dataset}", remove)


def trash_panel(place: DeltaGenerator) -> None:
    """Draw the removed datasets, if there are any, to restore or to delete."""
    removed = trashed_ids()
    if not removed:
        return
    with place.popover(f"Trash ({len(removed)})", icon=":material/delete:"):
        name = st.selectbox("Removed datasets", removed, key=f"trashed {len(removed)}")
        buttons = st.container(horizontal=True)
        action(buttons, "Restore", "undo", f"restore {name}", lambda: _restore(name))
        ask = st.expander("Delete permanently", key=f"ask {name}")
        ask.write(
            "This deletes all its images and versions. You cannot undo this. Runs that were trained on it keep their decoded images "
            "until you delete these runs."
        )

        def delete() -> None:
            delete_dataset(name, partial(named_images, RunStore()))

        action(ask, "Delete", "delete_forever", f"delete {name}", delete)


def _restore(name: str) -> None:
    choices.write(OPEN, restore_dataset(name).dataset)
