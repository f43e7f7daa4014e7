"""Store settings in a URL query and read them back, so that a form can be reloaded and shared."""

from collections.abc import Mapping
from typing import Any

from expertnet.errors import SettingsError
from expertnet.settings.fields import SECTIONS, build_settings, flat
from expertnet.settings.presets import DEFAULT_PRESET, PRESETS
from expertnet.settings.schema import Settings, format_value
from expertnet.utils.text import counted, cut

LONGEST = 8000  # characters of a query; a path has at most 4096
LONGEST_MESSAGE = 300  # characters


def is_form_key(name: str) -> bool:
    """Return whether a query key is for the form: preset, dataset, seed, or any key in a section of settings."""
    section, dot, _ = name.partition(".")
    return name in ("preset", "dataset", "seed") or bool(dot and section in SECTIONS)


def to_query(preset: str, dataset: str, values: Mapping[str, Any]) -> dict[str, str]:
    """Return preset, dataset and the values (by dotted key) that differ from the preset; empty for the initial form."""
    base = flat(build_settings(preset)) | {"data.dataset": dataset}
    changed = {key: format_value(values[key]) for key in base if key in values and values[key] != base[key]}
    changed.pop("data.dataset", None)
    if not changed and preset == DEFAULT_PRESET and dataset in ("", Settings().data.dataset):
        return {}
    return {"preset": preset} | ({"dataset": dataset} if dataset else {}) | changed


def from_query(query: Mapping[str, str]) -> tuple[Settings, str, str]:
    """Return the settings, the preset, and a message on invalid values ("" if none). Valid values are used anyway."""
    if sum(map(len, (*query, *query.values()))) > LONGEST:
        return build_settings(), DEFAULT_PRESET, "This URL is too long, so its settings were ignored."
    preset, values = query.get("preset", DEFAULT_PRESET), {key: query[key] for key in query if key != "preset"}
    if "dataset" in values:
        values["data.dataset"] = values.pop("dataset")
    try:
        return build_settings(preset, overrides=values), preset, ""
    except SettingsError as error:
        message = cut(str(error), LONGEST_MESSAGE)
    others = -1  # invalid values, without the one in the message
    if preset not in PRESETS:
        preset, others = DEFAULT_PRESET, 0
    settings, usable = build_settings(preset), dict[str, str]()
    for key, value in values.items():
        try:
            settings = build_settings(preset, overrides=usable | {key: value})
            usable[key] = value
        except SettingsError:
            others += 1
    more = f" {counted(others, 'other value was', 'other values were')} ignored too." if others > 0 else ""
    return settings, preset, f"Some settings in this URL were ignored. {message}{more}"
