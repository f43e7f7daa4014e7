"""The form of the Train page, drawn from the schema: what is typed lives in the session and survives other pages.

In this module: settings_form, which returns the settings (or the sentence that says why they cannot be used) and the preset.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import streamlit as st
import torch

from expertnet.config import DEFAULT_PRESET, PRESETS, Settings, SettingsError, format_value
from expertnet.datasets import BUILTIN, data_root
from expertnet.fields import SettingField, build_settings, command_line, flat, setting_fields
from expertnet.ui.shell import escape

OWN = "own"
FOLDED = {
    "model": "Model",
    "data": "Data and augmentation",
    "training": "Optimizer",
    "hardware": "Hardware",
    "": "Hardware",
}


def fill(settings: Settings, preset: str) -> None:
    """Fills the form in, as if all of it had been typed."""
    form = {"preset": preset if preset in PRESETS else DEFAULT_PRESET, **flat(settings)}
    form["source"] = settings.data.dataset if settings.data.dataset in BUILTIN else OWN
    form["path"] = "" if settings.data.dataset in BUILTIN else settings.data.dataset
    st.session_state["form"] = form
    for key in [key for key in st.session_state if str(key).startswith("field ")]:
        del st.session_state[key]


def settings_form() -> tuple[Settings | None, str, str]:
    """Draws the form; returns the settings or None, the preset, and the sentence that says what is wrong ("" if nothing)."""
    if "form" not in st.session_state:
        fill(build_settings(DEFAULT_PRESET, "digits"), DEFAULT_PRESET)
    form = st.session_state["form"]
    _dataset(form)
    preset = _preset(form)
    base = flat(build_settings(preset))
    fields = [field for field in setting_fields() if field.key != "data.dataset"]
    columns = st.columns(2)
    for number, field in enumerate(field for field in fields if field.basic):
        with columns[number % 2]:
            _field(field, form, base)
    for title in dict.fromkeys(FOLDED.values()):
        with st.expander(title):
            columns = st.columns(2)
            folded = [field for field in fields if not field.basic and FOLDED[field.section] == title]
            for number, field in enumerate(folded):
                with columns[number % 2]:
                    _field(field, form, base)
    dataset = form["source"] if form["source"] != OWN else form["path"].strip()
    try:
        if not dataset:
            raise SettingsError("Name a folder or archive of class folders, or upload an archive.")
        overrides = {field.key: form[field.key] for field in fields}
        settings = build_settings(preset, dataset, overrides)
    except SettingsError as error:
        return None, preset, str(error)
    with st.expander("The same on the command line", icon=":material/terminal:"):
        st.code(command_line(settings, preset), language="bash", wrap_lines=True)
    return settings, preset, ""


def _remember(form: dict[str, Any], key: str) -> str:
    """The key of a widget that starts from the form; its value goes back into the form when it changes."""
    widget = f"field {key}"
    if widget not in st.session_state:
        st.session_state[widget] = form[key]
    return widget


def _keep(key: str) -> None:
    st.session_state["form"][key] = st.session_state[f"field {key}"]


def _dataset(form: dict[str, Any]) -> None:
    titles = {name: spec.title for name, spec in BUILTIN.items()} | {OWN: "My own pictures"}
    st.selectbox(
        "Data set",
        list(titles),
        format_func=titles.__getitem__,
        key=_remember(form, "source"),
        on_change=_keep,
        args=("source",),
        help="What the network learns from.",
    )
    form["source"] = st.session_state["field source"]
    if form["source"] != OWN:
        st.caption(BUILTIN[form["source"]].note)
        return
    st.text_input(
        "Folder or archive on the server",
        key=_remember(form, "path"),
        on_change=_keep,
        args=("path",),
        placeholder="/home/me/flowers.zip",
        help="Class folders such as rose/1.jpg and tulip/1.jpg, or train/ and test/ with class folders in each; a folder, .zip or .tar.",
    )
    uploaded = st.file_uploader(
        "or upload an archive",
        type=["zip", "tar", "gz", "xz", "tgz"],
        help="A .zip or .tar of class folders; it is kept in the data folder.",
    )
    if uploaded is not None:
        path = _keep_upload(uploaded.name, uploaded.getvalue())
        if form["path"] != str(path):
            form["path"] = str(path)
            st.session_state.pop("field path", None)
            st.rerun()


def _keep_upload(name: str, data: bytes) -> Path:
    """The upload under a name made of its content, so that a name from outside names no place on the disk."""
    suffix = ".zip" if name.lower().endswith(".zip") else ".tar"
    path = data_root() / "uploads" / f"{hashlib.sha256(data).hexdigest()[:16]}{suffix}"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return path


def _preset(form: dict[str, Any]) -> str:
    def apply() -> None:
        preset = st.session_state["field preset"]
        dataset = form["path"] if form["source"] == OWN and form["path"] else form["source"]
        fill(build_settings(preset, dataset if dataset != OWN else None), preset)

    left, right = st.columns([3, 2], vertical_alignment="bottom")
    with left:
        preset = st.selectbox(
            "Preset",
            list(PRESETS),
            key=_remember(form, "preset"),
            on_change=apply,
            help="A set of values that go together; every one of them can be changed below.",
        )
    with right:
        st.button(
            "Reset", help="Back to the preset's values.", on_click=apply, icon=":material/restart_alt:", width="stretch"
        )
    st.caption(PRESETS[preset].reason)
    return preset


def _field(field: SettingField, form: dict[str, Any], base: dict[str, Any]) -> None:
    """One setting's widget; a bullet and a line mark what differs from the preset."""
    differs = form[field.key] != base[field.key]
    label = f"{'● ' if differs else ''}{field.label}" + (f" ({field.unit})" if field.unit else "")
    shared: dict[str, Any] = {"help": f"{field.help} `{field.key}`", "on_change": _keep, "args": (field.key,)}
    if field.kind == "ints":
        blocks = list(range(1, int(form["model.num_blocks"]) + 1))
        form[field.key] = tuple(block for block in form[field.key] if block in blocks)
        st.session_state[f"field {field.key}"] = list(form[field.key])
        form[field.key] = tuple(st.multiselect(label, blocks, key=f"field {field.key}", placeholder="none", **shared))
        differs = form[field.key] != base[field.key]
    else:
        widget = _remember(form, field.key)
        if field.kind == "bool":
            st.toggle(label, key=widget, **shared)
        elif field.key == "hardware.device":
            st.selectbox(label, devices(form[field.key]), key=widget, **shared)
        elif field.kind == "choice":
            st.selectbox(label, field.choices, key=widget, **shared)
        elif field.kind == "text":
            st.text_input(label, key=widget, **shared)
        else:
            _number(field, label, widget, shared)
        form[field.key] = st.session_state[widget]
    if differs:
        st.caption(f"preset: {escape(format_value(base[field.key])) or 'none'}")


def _number(field: SettingField, label: str, widget: str, shared: dict[str, Any]) -> None:
    number = int if field.kind == "int" else float
    low, high = number(field.minimum or 0), number(field.maximum or 0)
    if field.exclusive_minimum:
        low = number(1e-8)
    step = number(field.step or (1 if field.kind == "int" else 1e-4))
    st.number_input(
        label,
        min_value=low,
        max_value=high,
        step=step,
        key=widget,
        format="%d" if field.kind == "int" else "%g",
        **shared,
    )


def devices(chosen: str) -> list[str]:
    """The devices of this machine by name."""
    names = [
        "auto",
        "cpu",
        *(f"cuda:{index}" for index in range(torch.cuda.device_count())),
        *(["mps"] if torch.backends.mps.is_available() else []),
    ]
    return names if chosen in names else [*names, chosen]
