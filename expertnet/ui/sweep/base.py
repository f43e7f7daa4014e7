"""What all trials of a sweep share: the dataset, the preset, the epochs and other settings."""

from pathlib import Path
from typing import Any

import streamlit as st

from expertnet.data.builtin import BUILTIN
from expertnet.data.catalog import list_datasets
from expertnet.errors import UserError
from expertnet.settings.fields import build_settings, flat, parse_assignments
from expertnet.settings.presets import DEFAULT_PRESET, PRESETS
from expertnet.settings.schema import Settings
from expertnet.training.pace import FEW_STEPS, fitted, step_count, training_images
from expertnet.ui.own_datasets import distinct, look_at, parent_button, upload_labels
from expertnet.ui.style import room_key
from expertnet.utils.text import counted

FEW_EPOCHS = 6  # of a trial, at first
DATASET, PRESET, EPOCHS, OTHERS = "sweep dataset", "sweep preset", "sweep epochs", "sweep others"  # keys of widgets
KEPT: dict[str, Any] = {"persist_state": "session"}  # of widgets that keep their values over a visit to another page


def shared_settings() -> tuple[Settings, str]:
    """Ask for the settings that all trials share. Returns them, and what is wrong with them or ""."""
    row = st.container(horizontal=True, vertical_alignment="bottom", key=room_key("labelled base"))
    titles = {own.dataset: own.title for own in list_datasets() if own.own and own.images} | upload_labels()
    titles = distinct(titles | {name: spec.title for name, spec in BUILTIN.items()})
    chosen = st.session_state.setdefault(DATASET, next(iter(BUILTIN)))
    titles.setdefault(chosen, chosen)  # a path that was typed
    dataset = row.selectbox(
        "Dataset",
        list(titles),
        format_func=lambda name: titles.get(name, name),
        key=DATASET,
        accept_new_options=True,
        help="One of your datasets, what was uploaded on the Train page, a built-in dataset, or the path of a folder or archive "
        "of class folders.",
        width=300,
        **KEPT,
    )
    preset = row.selectbox("Preset", list(PRESETS), key=PRESET, width=180, **KEPT)
    st.session_state.setdefault(EPOCHS, FEW_EPOCHS)
    epochs = row.number_input("Epochs of a trial", 1, 10_000, key=EPOCHS, width=180, **KEPT)
    problem, changed = "", 0
    try:
        others = parse_assignments(line for line in st.session_state.get(OTHERS, "").splitlines() if line.strip())
        settings = build_settings(preset, dataset, others | {"training.epochs": int(epochs)})
        changed = sum(
            flat(settings)[key] != value for key, value in flat(build_settings(preset)).items() if key in others
        )
    except UserError as error:
        settings, problem = build_settings(DEFAULT_PRESET), str(error)
    if settings.data.dataset not in BUILTIN:
        problem = _look(settings)
    note = f" ({changed} changed)" if changed else ""
    with st.expander(f"Other settings of all trials{note}", icon=":material/tune:", key="sweep other settings"):
        st.text_area(
            "One setting a line, such as model.channels=16",
            key=OTHERS,
            help="The names are those of the command line. “Details” on the Train page shows the command for its settings.",
            **KEPT,
        )
    _fit(settings)
    return settings, problem


def _look(settings: Settings) -> str:
    """Say what your own images are, or offer the folder that was probably meant. Returns what is wrong with them or ""."""
    found, problem, meant = look_at(settings.data)
    if found is not None:
        st.caption(f"{found.sentence}.")

    def choose(parent: Path) -> None:
        st.session_state[DATASET] = str(parent)

    parent_button(meant, choose)
    return problem


def _fit(settings: Settings) -> None:
    """Offer a batch size and epochs that teach a network something if a trial on your own images has few steps."""
    images = None if settings.data.dataset in BUILTIN else training_images(settings)
    if images is None or (steps := step_count(settings, images)) >= FEW_STEPS:
        return
    size, epochs = fitted(settings, images)

    def use() -> None:
        lines = st.session_state[OTHERS].splitlines()
        kept = [line for line in lines if line.partition("=")[0].strip() != "training.batch_size"]
        st.session_state[OTHERS] = "\n".join([*kept, f"training.batch_size={size}"])
        st.session_state[EPOCHS] = epochs

    row = st.container(horizontal=True, vertical_alignment="center")
    row.caption(f"Trials of {counted(steps, 'step')} teach a network little.", width="content")
    row.button(f"Use batches of {size} and {counted(epochs, 'epoch')}", on_click=use, key="fit sweep")
