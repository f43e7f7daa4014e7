"""The form of the Train page, generated from the schema of settings."""

from dataclasses import dataclass, replace
from typing import Any

import streamlit as st

from expertnet.data.builtin import BUILTIN
from expertnet.data.samples import own_samples, samples
from expertnet.errors import SettingsError, UserError
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
from expertnet.settings.presets import PRESETS
from expertnet.settings.schema import Settings, format_value
from expertnet.store.run_store import RunStore
from expertnet.training.manager import manager
from expertnet.training.start import check_can_start
from expertnet.ui.auth import login
from expertnet.ui.filmstrip import filmstrip
from expertnet.ui.train.own_images import own_images
from expertnet.ui.train.start import name_field
from expertnet.ui.train.start_from import KEY as START
from expertnet.ui.train.start_from import start_field
from expertnet.ui.train.summary import image_sizes, summary
from expertnet.ui.train.values import CUSTOM, Form, bound, current_form, fill, widget_key
from expertnet.utils.home import launcher
from expertnet.utils.text import counted, escape, size_text

FOLDED = {
    "model": "Model",
    "data": "Data and augmentation",
    "training": "Optimizer",
    "hardware": "Hardware",
    "": "Hardware",
}
ADVANCED = "Advanced"
WIDTH, CARDS_WIDTH = 760, 980  # pixels of the form, and of the cards of the datasets, which fit one row
NARROWEST = 150  # pixels of a setting; a narrower toggle cuts its label


@dataclass(frozen=True)
class FormResult:
    """What was entered."""

    settings: Settings | None  # None if they are invalid
    problem: str = ""  # why training cannot start; valid settings may have one too, such as too little memory


def settings_form() -> FormResult:
    """Draw the form and return what was entered."""
    form = current_form()
    if form.url_problem:
        st.warning(escape(form.url_problem), icon=":material/link_off:")
    base = flat(build_settings(form.preset))
    fields = [field for field in setting_fields() if field.key != "data.dataset"]
    settings, invalid = _settings(form, fields)
    with st.container(width=CARDS_WIDTH):
        _dataset(form)
    with st.container(width=WIDTH):
        problem = own_images(form, settings) if form.source == CUSTOM else ""
        _preset(form)
        name_field()
        changed = sum(form.settings[field.key] != base[field.key] for field in fields)
        note = f" ({changed} changed)" if changed else ""

        def unfold() -> None:
            form.unfolded = st.session_state["settings"]

        drawer = st.expander(f"Settings{note}", form.unfolded, icon=":material/tune:", key="settings", on_change=unfold)
        if drawer.open:  # fifty fields take longer than the rest of the page
            with drawer:
                _groups(fields, form, base, invalid)
        details = st.expander("Details", icon=":material/info:", key="details", on_change="rerun")
        if details.open and settings is not None:
            with details:
                summary(settings)
                image_sizes(settings)
                st.caption("On the command line:")
                st.code(command_line(settings, form.preset, launcher()), language="bash", wrap_lines=True)
    if settings is None:
        first, *others = invalid.values()
        more = f" {counted(len(others), 'more problem is', 'more problems are')} marked in the form." if others else ""
        return FormResult(None, with_labels(first + more))
    if problem:
        return FormResult(None, problem)
    try:
        check_can_start(settings, RunStore())
    except UserError as error:
        return FormResult(settings, with_labels(str(error)))
    return FormResult(settings)


def _groups(fields: list[SettingField], form: Form, base: dict[str, Any], invalid: dict[str, str]) -> None:
    """Draw the settings: the most important ones in view, the others folded."""
    fields = [field for field in fields if field.key != START]  # which is drawn with your own images
    if manager().executor.gpus > 1:
        fields = [
            replace(field, label="GPUs", basic=True) if field.key == "hardware.processes" else field for field in fields
        ]
    _rows([field for field in fields if field.basic], form, base, invalid)
    if form.source != CUSTOM:
        start_field(form)
    for title in (*dict.fromkeys(FOLDED.values()), ADVANCED):
        folded = [field for field in fields if not field.basic and _group(field) == title]
        wrong = any(field.key in invalid for field in folded)
        with st.expander(f":red[{title}]" if wrong else title, key=f"settings {title}"):
            _rows(folded, form, base, invalid)


def _group(field: SettingField) -> str:
    return ADVANCED if field.advanced else FOLDED[field.section]


def _settings(form: Form, fields: list[SettingField]) -> tuple[Settings | None, dict[str, str]]:
    """Return the settings, or None and what is wrong with each invalid one by its key."""
    typed = {field.key: form.settings[field.key] for field in fields}
    try:
        return build_settings(form.preset, form.dataset or None, typed), {}
    except SettingsError as error:
        return None, {key: error.by_key[key] for key in typed if key in error.by_key} or {"": str(error)}


def _dataset(form: Form) -> None:
    sources = [*BUILTIN, CUSTOM]

    def choose(place: int) -> None:
        form.source, form.url_problem = sources[place], ""

    titles = [*(spec.title for spec in BUILTIN.values()), "Your own images"]
    sizes = [
        f"{size_text(spec.download_bytes)}\nto download" if spec.download_bytes else "" for spec in BUILTIN.values()
    ]
    found = [samples(name) for name in BUILTIN]
    images = [size if image is None else image for image, size in zip(found, sizes, strict=True)]
    st.markdown(":small[Dataset]")
    place, key = sources.index(form.source), widget_key("source")
    own = own_samples(form.path) if login.may_change() else None
    images.append("+" if own is None else own)
    filmstrip("Dataset", images, titles, titles, key, place, choose, cards=True)
    if form.source != CUSTOM:
        st.caption(BUILTIN[form.source].note)


def _preset(form: Form) -> None:
    widget = widget_key("preset")  # not that of the moment of a click, before which the form may have been filled again

    def apply() -> None:
        preset = st.session_state.get(widget, current_form().preset)
        fill(build_settings(preset, current_form().dataset or None), preset)

    st.segmented_control(
        "Preset",
        list(PRESETS),
        default=form.preset,
        required=True,
        help="Settings that work well together. You can change each of them under “Settings”.",
        key=widget,
        on_change=apply,
    )
    if flat(build_settings(form.preset, form.dataset or None)) == form.settings:
        st.caption(PRESETS[form.preset].reason)
    else:
        row = st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute")
        row.caption(PRESETS[form.preset].reason, width="content")
        help = "Restores the preset."
        row.button("Reset", help=help, on_click=apply, icon=":material/restart_alt:", type="tertiary", key="reset")


def _rows(fields: list[SettingField], form: Form, base: dict[str, Any], invalid: dict[str, str]) -> None:
    """Draw two settings per row where there is room, aligned at the bottom, since long labels wrap."""
    for start in range(0, len(fields), 2):
        pair = fields[start : start + 2]
        with st.grid(2, min_column_width=NARROWEST, vertical_alignment="bottom"):
            for field in pair:
                _field(field, form, base)
        for field in pair:
            if field.key in invalid:
                st.markdown(f":small[:red[:material/error: {escape(with_labels(invalid[field.key]))}]]")


def _label(field: SettingField, value: Any, preset: Any) -> str:
    """Return a label that marks a changed setting. It names the preset's value instead of the unit, to fit on one line."""
    if value == preset:
        return field.label + (f" ({field.unit})" if field.unit else "")
    if field.kind == "bool":  # a toggle cuts long labels, and its other state is the preset's
        return f"● {field.label}"
    return f"● {field.label} (preset: {escape(display_value(preset))})"


def _field(field: SettingField, form: Form, base: dict[str, Any]) -> None:
    """Draw the widget of one setting. It accepts any value, so that an invalid one gets a message."""
    value = form.settings[field.key]
    label = _label(field, value, base[field.key])
    shared = bound(field.key) | {"help": f"{field.help} `{field.key}`"}
    if field.kind == "ints":
        st.text_input(label, value=format_value(value), placeholder="none", **shared)
    elif field.kind == "blocks":
        most = field_of("model.num_blocks").maximum or 0
        blocks = range(1, int(min(form.settings["model.num_blocks"], most)) + 1)
        # Blocks beyond the last stay on offer, so that fewer blocks for a moment lose none.
        st.multiselect(label, sorted({*blocks, *value}), default=value, placeholder="none", **shared)
    elif field.kind == "bool":
        st.toggle(label, value=value, **shared)
    elif field.kind == "choice" or field.key == "hardware.device":
        options = field.choices or devices(value)
        st.selectbox(label, options, index=options.index(value), **shared)
    elif field.kind == "text":
        st.text_input(label, value=value, **shared)
    else:
        # Whole numbers are floats here too: a field of ints turns 2.7 into 2, and large numbers into others.
        step = float(field.step or (1 if field.kind == "int" else 1e-4))
        st.number_input(label, value=float(value), step=step, format="%g", **shared)


def devices(chosen: str) -> tuple[str, ...]:
    """Return the devices that a run can have by name, and the chosen one."""
    names = manager().executor.devices
    return names if chosen in names else (*names, chosen)
