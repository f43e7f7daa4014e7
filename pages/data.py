"""Data: every dataset with its classes and images, and the datasets that you make."""

import streamlit as st

from expertnet.data.catalog import list_datasets
from expertnet.data.own.versions import open_version
from expertnet.ui import shell
from expertnet.ui.data.add import add_view
from expertnet.ui.data.built_in import built_in_view
from expertnet.ui.data.checks import checks_view
from expertnet.ui.data.chosen import new_dataset, pick_dataset, trash_panel
from expertnet.ui.data.dataset import dataset_header, versions_view
from expertnet.ui.data.images import classes_view
from expertnet.ui.data.split import split_view
from expertnet.ui.data.uploads import uploads_panel
from expertnet.ui.train.values import NONE, choose_dataset
from expertnet.ui.views import pick_view

VIEWS = ("Images", "Add", "Check", "Split", "Versions")
OF_NO_CLASS = ("Add", "Versions")  # the views of a dataset without classes


def train(dataset: str) -> None:
    """Open the form of the Train page with a dataset."""
    choose_dataset(dataset)
    shell.open_page("train", NONE)


shell.require()
head = st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute")
head.header("Data", width="content")
tools = head.container(horizontal=True, width="content")
uploads_panel(tools)
trash_panel(tools)
new_dataset(tools)
with shell.shown_error():
    row = pick_dataset(list_datasets())
    if not row.own:
        built_in_view(row, train)
    else:
        version = open_version(row.dataset)
        dataset_header(row, version, train)
        views = VIEWS if version.contents.classes else OF_NO_CLASS
        view = pick_view(st.container(horizontal=True), views, hidden=VIEWS)
        if view == "Versions":
            versions_view(version)
        elif view == "Add":
            add_view(version)
        elif view == "Check":
            checks_view(version)
        elif view == "Split":
            split_view(version)
        else:
            classes_view(row.dataset, version)
