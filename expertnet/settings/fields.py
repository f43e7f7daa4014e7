"""Settings by dotted key: their descriptions for forms and parsers, and conversion from and to text."""

import ast
import inspect
import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from operator import attrgetter
from typing import Any, Literal, get_args, get_origin

from pydantic import ValidationError

from expertnet.errors import SettingsError
from expertnet.settings import schema
from expertnet.settings.presets import DEFAULT_PRESET, PRESETS
from expertnet.settings.schema import Settings, format_value
from expertnet.utils.home import PROGRAM
from expertnet.utils.text import did_you_mean


@dataclass(frozen=True)
class SettingField:
    """What a form or parser needs to know about one setting."""

    key: str  # dotted, such as training.lr
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
    basic: bool  # always visible in the form
    advanced: bool  # in the form's last group

    @property
    def range(self) -> str:
        """The limits of a number, such as "greater than 0 and at most 10"."""
        low, high = format_value(self.minimum), format_value(self.maximum)
        if not (self.exclusive_minimum or self.exclusive_maximum):
            return f"between {low} and {high}"
        lower = "greater than" if self.exclusive_minimum else "at least"
        return f"{lower} {low} and {'less than' if self.exclusive_maximum else 'at most'} {high}"

    @property
    def allowed(self) -> str:
        """The values that this setting accepts, such as "a whole number between 1 and 64"."""
        if self.kind == "choice":
            return "one of " + ", ".join(self.choices)
        if self.kind == "text":
            first_sentence = re.split(r"\.(?: |$)", self.help)[0]
            return first_sentence[0].lower() + first_sentence[1:]
        limits = f"of {self.range}" if self.range.startswith("at least") else self.range
        return {
            "int": f"a whole number {limits}",
            "float": f"a number {limits}",
            "bool": "true or false",
            "blocks": "block numbers such as 2,4",
            "ints": "whole numbers such as 32,64",
        }[self.kind]


SECTIONS: dict[str, Any] = {name: info.annotation for name, info in Settings.model_fields.items() if name != "seed"}


@cache
def setting_fields() -> tuple[SettingField, ...]:
    """Return all settings in the order of the schema, with the seed first."""
    # pydantic's use_attribute_docstrings would do this too, but adds 50 ms to every start.
    groups = [node for node in ast.parse(inspect.getsource(schema)).body if isinstance(node, ast.ClassDef)]
    texts = {
        (group.name, ast.unparse(setting.target)): " ".join(ast.literal_eval(text.value).split())
        for group in groups
        for setting, text in pairwise(group.body)
        if isinstance(setting, ast.AnnAssign) and isinstance(text, ast.Expr)
    }
    fields = [_field("", "seed", Settings.model_fields["seed"], texts["Settings", "seed"])]
    for section, group in SECTIONS.items():
        fields += [
            _field(section, name, info, texts[group.__name__, name]) for name, info in group.model_fields.items()
        ]
    return tuple(fields)


def _field(section: str, name: str, info: Any, help: str) -> SettingField:
    limits = {
        limit: getattr(item, limit)
        for item in info.metadata
        for limit in ("ge", "gt", "le", "lt")
        if hasattr(item, limit)
    }
    choices = get_args(info.annotation) if get_origin(info.annotation) is Literal else ()
    kinds: dict[Any, Any] = {int: "int", float: "float", bool: "bool", str: "text"}
    extra = dict(info.json_schema_extra)
    kind = extra.pop("kind") or kinds.get(info.annotation, "ints")
    return SettingField(
        key=f"{section}.{name}".lstrip("."),
        section=section,
        name=name,
        label=info.title,
        help=help,
        default=info.default,
        kind="choice" if choices else kind,
        choices=choices,
        minimum=limits.get("ge", limits.get("gt")),
        maximum=limits.get("le", limits.get("lt")),
        exclusive_minimum="gt" in limits,
        exclusive_maximum="lt" in limits,
        **extra,
    )


def field_of(key: str) -> SettingField:
    """Return the field of a dotted key. Raises SettingsError if it is unknown."""
    for field in setting_fields():
        if field.key == key:
            return field
    raise SettingsError(_unknown_key(key))


def _unknown_key(key: str) -> str:
    """Return the message for an unknown key. A right name with a wrong or missing section is recognized."""
    name = key.rpartition(".")[2].lower()
    same_name = [field.key for field in setting_fields() if field.name == name]
    # Sections make all keys similar, so the required likeness is higher than usual.
    similar = did_you_mean(key, [field.key for field in setting_fields()], 0.75)
    meant = f" Did you mean {same_name[0]}?" if same_name else similar
    return f"There is no setting {key[:80]!r}.{meant} Run 'expertnet settings' to list all settings."


def build_settings(
    preset: str = DEFAULT_PRESET, dataset: str | None = None, overrides: Mapping[str, Any] | None = None
) -> Settings:
    """Return settings from a preset, then a dataset, then values by dotted key (text is parsed).

    Raises SettingsError with the key, the value and the allowed values.
    """
    if preset not in PRESETS:
        meant = did_you_mean(preset, PRESETS)
        raise SettingsError(f"There is no preset {preset[:80]!r}.{meant} Choose one of {', '.join(PRESETS)}.")
    nested: dict[str, Any] = {section: dict(values) for section, values in PRESETS[preset].values.items()}
    given = {} if dataset is None else {"data.dataset": dataset}
    for key, value in (given | dict(overrides or {})).items():
        field = field_of(key)
        if isinstance(value, str) and field.kind == "int":
            value = _parse(value)
        (nested.setdefault(field.section, {}) if field.section else nested)[field.name] = value
    return _validate(nested)


def _parse(text: str) -> Any:
    """Return a whole number written as 1e3 as an int, and other text unchanged."""
    try:
        exact = "e" in text.lower() and float(text).is_integer() and abs(float(text)) <= 2**53
        return int(float(text)) if exact else text
    except ValueError:
        return text


def _validate(nested: Mapping[str, Any]) -> Settings:
    try:
        return Settings.model_validate(nested)
    except ValidationError as error:
        by_key: dict[str, str] = {}
        for problem in error.errors():
            by_key.setdefault(*_explain(problem))
        raise SettingsError(next(iter(by_key.values())), by_key) from None


def _explain(problem: Any) -> tuple[str, str]:
    """Return the key of a pydantic error, and the message for it."""
    if problem["type"] == "value_error":  # from a validator in schema.py, whose message begins with the key
        message = str(problem["ctx"]["error"])
        return message.split("`")[1], message
    key = ".".join(map(str, problem["loc"][:2]))
    field = next((field for field in setting_fields() if field.key == key), None)
    if field is None:
        return key, _unknown_key(key)
    allowed = field.range if "than" in problem["type"] else field.allowed  # such as greater_than_equal
    return key, f"`{key}` must be {allowed}. You entered {_quoted(format_value(problem['input']))}."


def _quoted(value: str) -> str:
    if re.fullmatch(r"[-+]?[\d.]{1,20}(e[-+]?\d{1,3})?", value):
        return value
    return repr(value[:80]) if value else "nothing"


def with_labels(message: str) -> str:
    """Replace the keys of settings in a message with their labels in the form. Paths are left alone."""
    labels = {field.key: field.label for field in setting_fields()}
    dotted = "|".join(re.escape(key) for key in labels if key != "seed")
    pattern = rf"(?<![\w./])`?({dotted})`?(?![\w/]|\.\w)|`(seed)`"
    return re.sub(pattern, lambda match: f"“{labels[match[1] or match[2]]}”", message)


def parse_assignments(assignments: Iterable[str]) -> dict[str, str]:
    """Return ["training.lr=0.001"] as {"training.lr": "0.001"}. Raises SettingsError."""
    values = {}
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        if not (equals and key.strip()):
            raise SettingsError(f"--set needs key=value, such as training.lr=0.001. You entered {assignment!r}.")
        values[key.strip()] = value.strip()
    return values


def settings_from_dict(nested: Mapping[str, Any]) -> Settings:
    """Return the settings in a config.json. Missing keys, as in older versions, get their defaults."""
    return _validate({name: nested[name] for name in Settings.model_fields if name in nested})


def get_value(settings: Settings, key: str) -> Any:
    """Return the value of a dotted key."""
    return attrgetter(key)(settings)


def flat(settings: Settings) -> dict[str, Any]:
    """Return the values of all settings by dotted key."""
    return {field.key: get_value(settings, field.key) for field in setting_fields()}


def display_value(value: Any) -> str:
    """Return a value as text for users. `format_value` writes it for --set."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return format_value(value) or "none"


def differences(a: Settings, b: Settings) -> list[tuple[str, Any, Any]]:
    """Return the dotted key and both values of each setting in which `a` and `b` differ."""
    return [(key, value, get_value(b, key)) for key, value in flat(a).items() if value != get_value(b, key)]


def command_line(settings: Settings, preset: str = DEFAULT_PRESET, program: str = PROGRAM) -> str:
    """Return the command that trains with these settings. `program` is how to call expertnet; see `launcher`."""
    words = ["train", "--preset", preset, "--dataset", settings.data.dataset]
    base = build_settings(preset, settings.data.dataset)
    for key, value, _ in differences(settings, base):
        words += ["--set", f"{key}={format_value(value)}"]
    return f"{program} {shlex.join(words)}"
