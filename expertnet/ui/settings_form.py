"""The form of the Train page, drawn from the schema: what is typed lives in the session and survives other pages.

In this module: settings_form, which returns the settings (or the sentence that says why they cannot be used) and the preset;
fill, which puts other settings there; and remember, which has them survive a reload.
"""

from __future__ import annotations

from typing import Any

import streamlit as st
import torch

from expertnet.access import AccessError
from expertnet.config import Settings, SettingsError, format_value, parse_numbers
from expertnet.datasets import BUILTIN, DatasetError
from expertnet.fields import SettingField, build_settings, command_line, field_of, flat, in_words, setting_fields
from expertnet.own_pictures import keep_upload, look
from expertnet.presets import DEFAULT_PRESET, PRESETS
from expertnet.ui import access
from expertnet.ui.form_address import keep_address, read_address
from expertnet.ui.shell import escape, progress_bar, shown_error

OWN = "own"
FOLDED = {
    "model": "Model",
    "data": "Data and augmentation",
    "training": "Optimizer",
    "hardware": "Hardware",
    "": "Hardware",
}
_looked: set[str] = set()  # folders and archives that somebody at this server has chosen to look at


def fill(settings: Settings, preset: str) -> None:
    """Fills the form in, as if all of it had been typed."""
    form = {"preset": preset if preset in PRESETS else DEFAULT_PRESET, **flat(settings)}
    form["source"] = settings.data.dataset if settings.data.dataset in BUILTIN else OWN
    form["path"] = "" if settings.data.dataset in BUILTIN else settings.data.dataset
    before = st.session_state.get("form", {})
    form["generation"], form["uploaded"] = before.get("generation", 0) + 1, before.get("uploaded")
    form["named"], form["refused"] = before.get("named"), ""
    st.session_state["form"] = form


def _begin() -> None:
    """The form of a new session: what its address says."""
    settings, preset, refused = read_address()
    fill(settings, preset)
    st.session_state["form"] |= {"named": settings.data.dataset, "refused": refused}


def remember() -> None:
    """At the end of the page: what is typed stands in the address."""
    form = st.session_state["form"]
    keep_address(form["preset"], _chosen(form), form)


def _chosen(form: dict[str, Any]) -> str:
    return form["source"] if form["source"] != OWN else form["path"].strip()


def settings_form() -> tuple[Settings | None, str, str]:
    """Draws the form; returns the settings or None, the preset, and the sentence that says what is wrong ("" if nothing)."""
    if "form" not in st.session_state:
        _begin()
    form = st.session_state["form"]
    if form["refused"]:
        st.warning(escape(form["refused"]), icon=":material/link_off:")
    _dataset(form)
    own_place = st.container()
    preset = _preset(form)
    base = flat(build_settings(preset))
    fields = [field for field in setting_fields() if field.key != "data.dataset"]
    _rows([field for field in fields if field.basic], form, base)
    for title in dict.fromkeys(FOLDED.values()):
        with st.expander(title):
            _rows([field for field in fields if not field.basic and FOLDED[field.section] == title], form, base)
    dataset = _chosen(form)
    try:
        if not dataset:
            raise SettingsError("Name a folder or archive of class folders, or upload an archive.")
        overrides = {field.key: form[field.key] for field in fields}
        settings = build_settings(preset, dataset, overrides)
        if form["source"] == OWN:
            if dataset == form["named"] and dataset not in _looked:  # no link leads the server through its disk
                own_place.button(
                    "Look at these pictures",
                    icon=":material/visibility:",
                    on_click=_looked.add,
                    args=(dataset,),
                    key="look",
                    **access.reserved(),
                )
                return None, preset, "The address names these pictures; look at them first."
            with access.changing(), own_place, progress_bar() as progress:
                found = look(settings.data, progress)
            _looked.add(dataset)
            own_place.caption(
                f"{found.train:,} + {found.test:,} pictures of {len(found.classes)} classes: "
                + escape(", ".join(found.classes[:5]) + (" …" if len(found.classes) > 5 else ""))
                + ". Counted by the names of the files; what gives no picture is left out and named in the run's log."
            )
    except (AccessError, SettingsError) as error:
        return None, preset, str(error)
    except DatasetError as error:
        own_place.error(escape(str(error)), icon=":material/error:")
        return None, preset, "These pictures cannot be used; what is wrong with them stands above."
    command = st.expander(
        "The same on the command line", icon=":material/terminal:", key="command line", on_change="rerun"
    )
    if command.open:  # only then, since the browser loads a colourer of 1.5 MB for it
        command.code(command_line(settings, preset), language="bash", wrap_lines=True)
    return settings, preset, ""


def _widget(form: dict[str, Any], key: str) -> dict[str, Any]:
    """What ties a widget to the form: it begins with the form's value, and puts its own there when it changes.

    The form alone is remembered, since a widget's state goes when its page is left. Its generation is in the widget's
    key, so that filling the form in makes new widgets.
    """
    return {"key": f"field {form['generation']} {key}", "on_change": _keep, "args": (key,)}


def _keep(key: str) -> None:
    form = st.session_state["form"]
    form[key], form["refused"] = st.session_state[f"field {form['generation']} {key}"], ""


def _dataset(form: dict[str, Any]) -> None:
    titles = {name: spec.title for name, spec in BUILTIN.items()} | {OWN: "My own pictures"}
    form["source"] = st.selectbox(
        "Data set",
        list(titles),
        index=list(titles).index(form["source"]),
        format_func=titles.__getitem__,
        help="What the network learns from.",
        **_widget(form, "source"),
    )
    if form["source"] != OWN:
        st.caption(BUILTIN[form["source"]].note)
        return
    form["path"] = st.text_input(
        "Folder or archive on the server",
        value=form["path"],
        **_widget(form, "path"),
        placeholder="/home/me/flowers.zip",
        disabled=not access.may_change(),
        help="Class folders such as rose/1.jpg and tulip/1.jpg, or train/ and test/ with class folders in each; a folder, .zip or .tar.",
    )
    uploaded = st.file_uploader(
        "or upload an archive",
        type=["zip", "tar", "gz", "xz", "tgz"],
        help="A .zip or .tar of class folders; it is kept in the data folder.",
        disabled=not access.may_change(),
    )
    if uploaded is None:
        return
    with shown_error():
        with access.changing():
            path = keep_upload(uploaded.name, uploaded.getvalue())
        if form["uploaded"] != str(path):  # once: a path that is typed later counts
            form["uploaded"] = form["path"] = str(path)
            form["generation"] += 1
            st.rerun()


def _preset(form: dict[str, Any]) -> str:
    def apply() -> None:
        _keep("preset")
        preset = form["preset"]
        dataset = form["path"] if form["source"] == OWN and form["path"] else form["source"]
        fill(build_settings(preset, dataset if dataset != OWN else None), preset)

    left, right = st.columns([3, 2], vertical_alignment="bottom")
    with left:
        preset = st.selectbox(
            "Preset",
            list(PRESETS),
            index=list(PRESETS).index(form["preset"]),
            **(_widget(form, "preset") | {"on_change": apply, "args": ()}),
            help="A set of values that go together; every one of them can be changed below.",
        )
    with right:
        st.button(
            "Reset", help="Back to the preset's values.", on_click=apply, icon=":material/restart_alt:", width="stretch"
        )
    st.caption(PRESETS[preset].reason)
    return preset


def _rows(fields: list[SettingField], form: dict[str, Any], base: dict[str, Any]) -> None:
    """Two settings a row, level with one another however long a label is."""
    for start in range(0, len(fields), 2):
        pair = fields[start : start + 2]
        columns = st.columns(2, vertical_alignment="bottom")
        for column, field in zip(columns, pair, strict=False):
            with column:
                _field(field, form, base)


def _label(field: SettingField, value: Any, preset: Any) -> str:
    """What differs from the preset has a bullet, and in the place of its unit what the preset says."""
    if value != preset:
        return f"● {field.label} (preset: {escape(in_words(preset))})"
    return field.label + (f" ({field.unit})" if field.unit else "")


def _field(field: SettingField, form: dict[str, Any], base: dict[str, Any]) -> None:
    """One setting's widget; what it holds beyond the schema's range is refused with a sentence, as all settings are."""
    label = _label(field, form[field.key], base[field.key])
    shared = _widget(form, field.key) | {"help": f"{field.help} `{field.key}`"}
    value = form[field.key]
    if field.kind == "ints":
        value = parse_numbers(st.text_input(label, value=format_value(value), placeholder="none", **shared))
    elif field.kind == "blocks":
        most = field_of("model.num_blocks").maximum or 0
        blocks = {
            *range(1, int(min(form["model.num_blocks"], most)) + 1),
            *value,
        }  # one too many is refused, not dropped
        value = tuple(st.multiselect(label, sorted(blocks), default=value, placeholder="none", **shared))
    elif field.kind == "bool":
        value = st.toggle(label, value=value, **shared)
    elif field.kind == "choice" or field.key == "hardware.device":
        options = field.choices or devices(value)
        value = st.selectbox(label, options, index=options.index(value), **shared)
    elif field.kind == "text":
        value = st.text_input(label, value=value, **shared)
    else:
        value = _number(field, label, value, shared)
    form[field.key] = value


def _number(field: SettingField, label: str, value: float, shared: dict[str, Any]) -> float:
    number = int if field.kind == "int" else float
    step = number(field.step or (1 if field.kind == "int" else 1e-4))
    return st.number_input(
        label, value=number(value), step=step, format="%d" if field.kind == "int" else "%g", **shared
    )


def devices(chosen: str) -> tuple[str, ...]:
    """The devices of this machine by name."""
    accelerators = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    names = ("auto", "cpu", *accelerators, *(["mps"] if torch.backends.mps.is_available() else []))
    return names if chosen in names else (*names, chosen)
