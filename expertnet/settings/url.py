"""Settings as the query of an address, and back: a form that can be reloaded and shared.

In this module: is_form_key, to_query, from_query.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from expertnet.errors import SettingsError
from expertnet.settings.fields import SECTIONS, build_settings, flat
from expertnet.settings.presets import DEFAULT_PRESET, PRESETS
from expertnet.settings.schema import Settings, format_value

LONGEST = 8000  # signs of all values together; the path of a folder has 4096 at most
SAID = 300  # signs of a refusal


def is_form_key(name: str) -> bool:
    """Whether a key of an address is meant for the form: preset, dataset, or what --set takes, as far as its section is known."""
    section, dot, _ = name.partition(".")
    return name in ("preset", "dataset", "seed") or bool(dot and section in SECTIONS)


def to_query(preset: str, dataset: str, values: Mapping[str, Any]) -> dict[str, str]:
    """Preset, dataset and the values by dotted key that differ from the preset's; nothing where all is as it begins."""
    base = flat(build_settings(preset)) | {"data.dataset": dataset}
    changed = {key: format_value(values[key]) for key in base if key in values and values[key] != base[key]}
    changed.pop("data.dataset", None)
    if not changed and preset == DEFAULT_PRESET and dataset in ("", Settings().data.dataset):
        return {}
    return {"preset": preset} | ({"dataset": dataset} if dataset else {}) | changed


def from_query(query: Mapping[str, str]) -> tuple[Settings, str, str]:
    """The settings, the preset, and a sentence on what could not be used ("" if nothing); the rest is taken all the same."""
    if sum(map(len, (*query, *query.values()))) > LONGEST:
        return build_settings(), DEFAULT_PRESET, "This address is too long for one of this form."
    preset, values = query.get("preset", DEFAULT_PRESET), {key: query[key] for key in query if key != "preset"}
    if "dataset" in values:
        values["data.dataset"] = values.pop("dataset")
    try:
        return build_settings(preset, overrides=values), preset, ""
    except SettingsError as error:
        refused = str(error) if len(str(error)) <= SAID else str(error)[:SAID] + "…"
    others = -1  # what else could not be used, beside what is named
    if preset not in PRESETS:
        preset, others = DEFAULT_PRESET, 0
    settings, usable = build_settings(preset), dict[str, str]()
    for key, value in values.items():
        try:
            settings = build_settings(preset, overrides=usable | {key: value})
            usable[key] = value
        except SettingsError:
            others += 1
    more = f" {others} more could not be used either." if others > 0 else ""
    return settings, preset, f"Not all that this address says could be used: {refused}{more}"
