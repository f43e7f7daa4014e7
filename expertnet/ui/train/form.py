"""The form of the Train page, drawn from the schema: what is typed lives in the session and survives other pages.

In this module: settings_form, which returns the settings (or the sentence that says why they cannot be used) and the preset;
fill, which puts other settings there; whole, for fields of whole numbers; and remember, which has them survive a reload.
"""

from __future__ import annotations

from typing import Any

import streamlit as st
import torch

from expertnet.data.builtin import BUILTIN
from expertnet.data.custom import save_upload, scan
from expertnet.errors import AccessError, DatasetError, SettingsError
from expertnet.settings.fields import (
    SettingField,
    build_settings,
    command_line,
    display_value,
    field_of,
    flat,
    setting_fields,
    with_labels,
)
from expertnet.settings.presets import DEFAULT_PRESET, PRESETS
from expertnet.settings.schema import Settings, format_value, parse_numbers
from expertnet.ui.auth import login
from expertnet.ui.shell import progress_bar, shown_error
from expertnet.ui.train.url import keep_address, read_address
from expertnet.utils.text import escape

OWN = "own"
FOLDED = {
    "model": "Model",
    "data": "Data and augmentation",
    "training": "Optimizer",
    "hardware": "Hardware",
    "": "Hardware",
}
NARROWEST = 150  # pixels of a setting; a switch's label would be cut in less
EXACT = 2**53  # the largest of the whole numbers that floats tell apart
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
    base, dataset = flat(build_settings(preset)), _chosen(form)
    fields = [field for field in setting_fields() if field.key != "data.dataset"]
    settings, wrong = _settings(preset, dataset, {field.key: form[field.key] for field in fields})
    _rows([field for field in fields if field.basic], form, base, wrong)
    for title in dict.fromkeys(FOLDED.values()):
        with st.expander(title):
            _rows([field for field in fields if not field.basic and FOLDED[field.section] == title], form, base, wrong)
    if settings is None:
        first, *others = wrong.values()
        more = f" {len(others)} more {'is' if len(others) == 1 else 'are'} marked in the form." if others else ""
        return None, preset, first + more
    try:
        if not dataset:
            raise SettingsError("Name a folder or archive of class folders, or upload an archive.")
        if form["source"] == OWN:
            if dataset == form["named"] and dataset not in _looked:  # no link leads the server through its disk
                own_place.button(
                    "Look at these images",
                    icon=":material/visibility:",
                    on_click=_looked.add,
                    args=(dataset,),
                    key="look",
                    **login.reserved(),
                )
                return None, preset, "The address names these images; look at them first."
            with login.changing(), own_place, progress_bar() as progress:
                found = scan(settings.data, progress)
            _looked.add(dataset)
            own_place.caption(
                f"{found.sentence}. Classes: "
                + escape(", ".join(found.classes[:5]) + (" …" if len(found.classes) > 5 else ""))
                + ". Counted by file name. Unreadable images are skipped and listed in the run's log."
            )
    except (AccessError, SettingsError) as error:
        return None, preset, str(error)
    except DatasetError as error:
        own_place.error(escape(with_labels(str(error))), icon=":material/error:")
        return None, preset, "These images cannot be used; what is wrong with them stands above."
    command = st.expander(
        "The same on the command line", icon=":material/terminal:", key="command line", on_change="rerun"
    )
    if command.open:  # only then, since the browser loads a colourer of 1.5 MB for it
        command.code(command_line(settings, preset), language="bash", wrap_lines=True)
    return settings, preset, ""


def _settings(preset: str, dataset: str, typed: dict[str, Any]) -> tuple[Settings | None, dict[str, str]]:
    """The settings that were typed, or None and by its key what is wrong with each that cannot be used."""
    try:
        return build_settings(preset, dataset or None, typed), {}
    except SettingsError as error:
        return None, {key: error.by_key[key] for key in typed if key in error.by_key} or {"": str(error)}


def _widget(form: dict[str, Any], key: str) -> dict[str, Any]:
    """What ties a widget to the form: it begins with the form's value, and puts its own there when it changes.

    The form alone is remembered, since a widget's state goes when its page is left. Its generation is in the widget's
    key, so that filling the form in makes new widgets.
    """
    return {"key": f"field {form['generation']} {key}", "on_change": _keep, "args": (key,)}


def _keep(key: str) -> None:
    form = st.session_state["form"]
    form[key], form["refused"] = _read(key, st.session_state[f"field {form['generation']} {key}"]), ""


def _read(key: str, value: Any) -> Any:
    """What a widget holds, as the settings have it where they can."""
    kind = next((field.kind for field in setting_fields() if field.key == key), "")
    if kind in ("ints", "blocks"):
        return tuple(parse_numbers(value))
    return whole(value) if kind == "int" else value


def whole(value: float) -> float:
    """A whole number out of a field of numbers as one; what is none, or beyond those that floats tell apart, as it is."""
    return int(value) if float(value).is_integer() and abs(value) <= EXACT else value


def _dataset(form: dict[str, Any]) -> None:
    titles = {name: spec.title for name, spec in BUILTIN.items()} | {OWN: "My own images"}
    form["source"] = st.selectbox(
        "Dataset",
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
        disabled=not login.may_change(),
        help="Class folders such as rose/1.jpg and tulip/1.jpg, or train/ and test/ with class folders in each; a folder, .zip or .tar.",
    )
    uploaded = st.file_uploader(
        "or upload an archive",
        type=["zip", "tar", "gz", "xz", "tgz"],
        help="A .zip or .tar of class folders; it is kept in the data folder.",
        disabled=not login.may_change(),
    )
    if uploaded is None:
        return
    with shown_error():
        with login.changing():
            path = save_upload(uploaded.name, uploaded.getvalue())
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


def _rows(fields: list[SettingField], form: dict[str, Any], base: dict[str, Any], wrong: dict[str, str]) -> None:
    """Two settings a row, where there is room, level with one another however long a label is."""
    for start in range(0, len(fields), 2):
        pair = fields[start : start + 2]
        with st.grid(2, min_column_width=NARROWEST, vertical_alignment="bottom"):
            for field in pair:
                _field(field, form, base)
        for field in pair:
            if field.key in wrong:
                refused = with_labels(wrong[field.key])
                st.markdown(f":small[:red[:material/error: {escape(refused)}]]")


def _label(field: SettingField, value: Any, preset: Any) -> str:
    """What differs from the preset has a bullet, and what the preset says in the place of the unit, or it would take two lines.

    A switch has one line, which would be cut, and two states, of which the preset's is the other.
    """
    if value != preset and field.kind == "bool":
        return f"● {field.label}"
    if value != preset:
        return f"● {field.label} (preset: {escape(display_value(preset))})"
    return field.label + (f" ({field.unit})" if field.unit else "")


def _field(field: SettingField, form: dict[str, Any], base: dict[str, Any]) -> None:
    """One setting's widget; what it holds beyond the schema's range is refused with a sentence, as all settings are."""
    value, label = form[field.key], _label(field, form[field.key], base[field.key])
    shared = _widget(form, field.key) | {"help": f"{field.help} `{field.key}`"}
    if field.kind == "ints":
        st.text_input(label, value=format_value(value), placeholder="none", **shared)
    elif field.kind == "blocks":
        most = field_of("model.num_blocks").maximum or 0
        there = range(1, int(min(form["model.num_blocks"], most)) + 1)
        st.multiselect(label, sorted({*there, *value}), default=value, placeholder="none", **shared)  # none is dropped
    elif field.kind == "bool":
        st.toggle(label, value=value, **shared)
    elif field.kind == "choice" or field.key == "hardware.device":
        options = field.choices or devices(value)
        st.selectbox(label, options, index=options.index(value), **shared)
    elif field.kind == "text":
        st.text_input(label, value=value, **shared)
    else:  # whole numbers too as floats: the browser cuts 2.7 and 1e9 to whole numbers, and keeps what is beyond EXACT
        step = float(field.step or (1 if field.kind == "int" else 1e-4))
        st.number_input(label, value=float(value), step=step, format="%g", **shared)


def devices(chosen: str) -> tuple[str, ...]:
    """The devices of this machine by name."""
    accelerators = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    names = ("auto", "cpu", *accelerators, *(["mps"] if torch.backends.mps.is_available() else []))
    return names if chosen in names else (*names, chosen)
