"""Settings as fields: each by its dotted key, from typed text and back.

In this module: SettingField (what a form or a parser needs to know of one setting), setting_fields, flat, display_value, differences,
build_settings (preset, then dataset, then assignments), with_labels, settings_from_dict, and command_line, the way back.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import ValidationError

from expertnet.errors import SettingsError
from expertnet.settings.presets import DEFAULT_PRESET, PRESETS
from expertnet.settings.schema import (
    DataSettings,
    HardwareSettings,
    ModelSettings,
    Section,
    Settings,
    TrainingSettings,
    format_value,
)
from expertnet.utils.text import did_you_mean


@dataclass(frozen=True)
class SettingField:
    key: str  # dotted, as --set takes it
    section: str  # "" for the seed
    name: str
    label: str
    help: str
    unit: str
    default: Any
    kind: Literal["int", "float", "choice", "bool", "blocks", "ints", "text"]
    choices: tuple[str, ...]
    minimum: float | None
    maximum: float | None
    exclusive_minimum: bool
    exclusive_maximum: bool
    step: float | None
    basic: bool

    @property
    def allowed(self) -> str:
        """What this setting accepts, in words for an error."""
        if self.kind == "choice":
            return "one of " + ", ".join(self.choices)
        if self.kind == "bool":
            return "true or false"
        if self.kind == "blocks":
            return "block numbers such as 2,4"
        if self.kind == "ints":
            return "whole numbers such as 32,64"
        if self.kind == "text":
            return (self.help[0].lower() + self.help[1:]).rstrip(".")
        noun = "a whole number" if self.kind == "int" else "a number"
        low = "more than" if self.exclusive_minimum else "at least"
        high = "less than" if self.exclusive_maximum else "at most"
        return f"{noun}, {low} {format_value(self.minimum)} and {high} {format_value(self.maximum)}"


SECTIONS: dict[str, type[Section]] = {
    "model": ModelSettings,
    "data": DataSettings,
    "training": TrainingSettings,
    "hardware": HardwareSettings,
}


@cache
def setting_fields() -> tuple[SettingField, ...]:
    """Every setting in the order of the schema, the seed first."""
    fields = [_field("", "seed", Settings.model_fields["seed"])]
    for section, schema in SECTIONS.items():
        fields += [_field(section, name, info) for name, info in schema.model_fields.items()]
    return tuple(fields)


def _field(section: str, name: str, info: Any) -> SettingField:
    limits: dict[type, float] = {}
    for item in info.metadata:
        for kind, attribute in ((Ge, "ge"), (Gt, "gt"), (Le, "le"), (Lt, "lt")):
            if isinstance(item, kind):
                limits[kind] = getattr(item, attribute)
    annotation = info.annotation
    choices = get_args(annotation) if get_origin(annotation) is Literal else ()
    kinds: dict[Any, Any] = {int: "int", float: "float", bool: "bool", str: "text"}
    extra = dict(info.json_schema_extra)
    kind = extra.pop("kind") or kinds.get(annotation, "ints")
    return SettingField(
        key=f"{section}.{name}".lstrip("."),
        section=section,
        name=name,
        label=info.title,
        help=info.description,
        default=info.default,
        kind="choice" if choices else kind,
        choices=choices,
        minimum=limits.get(Ge, limits.get(Gt)),
        maximum=limits.get(Le, limits.get(Lt)),
        exclusive_minimum=Gt in limits,
        exclusive_maximum=Lt in limits,
        **extra,
    )


def field_of(key: str) -> SettingField:
    for field in setting_fields():
        if field.key == key:
            return field
    raise SettingsError(_no_setting(key))


def _no_setting(key: str) -> str:
    """Whoever wrote the right name in the wrong section, or without one, meant that setting."""
    name = key.rpartition(".")[2].lower()
    keys = [field.key for field in setting_fields() if field.name == name] or [f.key for f in setting_fields()]
    meant = f" (did you mean {keys[0]}?)" if len(keys) == 1 else did_you_mean(key, keys, 0.75)  # they begin alike
    return f"There is no setting {key[:80]!r}{meant}; 'python -m expertnet settings' lists those there are."


def build_settings(
    preset: str = DEFAULT_PRESET, dataset: str | None = None, overrides: Mapping[str, Any] | None = None
) -> Settings:
    """Settings from a preset, then a dataset, then values by dotted key (text is parsed).

    Raises SettingsError, one sentence with the key, the value and what is allowed.
    """
    if preset not in PRESETS:
        meant = did_you_mean(preset, PRESETS)
        raise SettingsError(f"There is no preset {preset[:80]!r}{meant}; the presets are {', '.join(PRESETS)}.")
    values = dict(PRESETS[preset].values)
    if dataset is not None:
        values["data.dataset"] = dataset
    values.update(overrides or {})
    nested: dict[str, Any] = {}
    for key, value in values.items():
        field = field_of(key)
        if isinstance(value, str) and field.kind == "int":
            value = _parse(value)
        (nested.setdefault(field.section, {}) if field.section else nested)[field.name] = value
    return _validate(nested)


def _parse(text: str) -> Any:
    """A whole number that is written as 1e3; other text is left for the schema to read or to refuse."""
    try:
        exact = "e" in text.lower() and float(text).is_integer() and abs(float(text)) <= 2**53
        return int(float(text)) if exact else text
    except ValueError:
        return text


def _validate(nested: Mapping[str, Any]) -> Settings:
    try:
        return Settings.model_validate(nested)
    except ValidationError as error:
        of: dict[str, str] = {}
        for wrong in error.errors():
            of.setdefault(*_refusal(wrong))
        raise SettingsError(next(iter(of.values())), of) from None


def _refusal(wrong: Any) -> tuple[str, str]:
    """The key of what pydantic refuses, and one sentence: key, value, what is allowed."""
    key = ".".join(str(part) for part in wrong["loc"][:2] if part not in SECTIONS or len(wrong["loc"]) > 1)
    known = {field.key: field for field in setting_fields()}
    if wrong["type"] == "value_error":  # of settings that do not go together; the sentence begins with the key
        sentence = str(wrong["ctx"]["error"])
        return sentence.partition(" ")[0], sentence
    if key not in known:
        return key, _no_setting(key)
    value = format_value(wrong["input"])
    return key, f"{key} cannot be {repr(value[:80]) if value else 'empty'}: it takes {known[key].allowed}."


def with_labels(sentence: str) -> str:
    """A sentence on settings with the labels that a form gives them in the place of their keys; paths are left alone."""
    for field in setting_fields():
        key = rf"(?<![\w./]){re.escape(field.key)}(?![\w/]|\.\w)" if field.section else "^seed(?= cannot be)"
        sentence = re.sub(key, f"“{field.label}”", sentence)
    return sentence


def parse_assignments(assignments: Iterable[str]) -> dict[str, str]:
    """["training.lr=0.001"] -> {"training.lr": "0.001"}."""
    values = {}
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        if not (equals and key.strip()):
            raise SettingsError(f"--set takes key=value such as training.lr=0.001, not {assignment!r}.")
        values[key.strip()] = value.strip()
    return values


def settings_from_dict(nested: Mapping[str, Any]) -> Settings:
    """Settings as config.json holds them; keys that an older version did not know get their defaults."""
    known = {name: nested[name] for name in Settings.model_fields if name in nested}
    return _validate(known)


def get_value(settings: Settings, key: str) -> Any:
    value: Any = settings
    for part in key.split("."):
        value = getattr(value, part)
    return value


def flat(settings: Settings) -> dict[str, Any]:
    return {field.key: get_value(settings, field.key) for field in setting_fields()}


def display_value(value: Any) -> str:
    """A setting's value as people read it; --set takes it as format_value writes it."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return format_value(value) or "none"


def differences(a: Settings, b: Settings) -> list[tuple[str, Any, Any]]:
    """The settings in which two differ: key, the first's value, the second's."""
    return [(key, value, get_value(b, key)) for key, value in flat(a).items() if value != get_value(b, key)]


def command_line(settings: Settings, preset: str = DEFAULT_PRESET) -> str:
    """The command that trains with just these settings."""
    words = ["python", "-m", "expertnet", "train", "--preset", preset, "--dataset", settings.data.dataset]
    base = build_settings(preset, settings.data.dataset)
    for key, value, _ in differences(settings, base):
        words += ["--set", f"{key}={format_value(value)}"]
    return shlex.join(words)
