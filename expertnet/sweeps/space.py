"""The settings that a sweep varies: a range of numbers, linear or logarithmic, or a list of values."""

import math
import random
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, field_validator

from expertnet.errors import SettingsError
from expertnet.settings.fields import SettingField, field_of, settings_from_dict
from expertnet.settings.schema import Settings, format_value

NUMBERS = ("int", "float")
NOT_VARIED = {
    "seed": "It is chance, not a choice. Train the best trials with several seeds afterwards",
    "data.dataset": "Accuracies on different images cannot be compared. Start a sweep for each dataset",
    "data.validation_share": "It changes the images that the trials are compared on",
    "model.start_from": "It only fits one network. Set it for all trials instead",
}
READY_MADE = {  # by name: what varies
    "report": (  # what the author of the reference report set by hand
        "model.num_experts=2..5",
        "model.num_blocks=3..8",
        "model.channels=32..128",
        "model.reduction=4..16",
        "training.lr=1e-4..1e-2:log",
    )
}
EXAMPLE = "training.lr=1e-4..1e-2:log, model.num_experts=2..5 or training.optimizer=adamw,muon"


class Dimension(BaseModel):
    """One setting that varies: all numbers from `low` to `high`, or `choices`, as text that --set accepts."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    key: str
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    step: float | None = None
    choices: tuple[str, ...] = ()

    @field_validator("key")
    @classmethod
    def _known(cls, key: str) -> str:
        try:
            field_of(key)
        except SettingsError as error:  # a file may be from another version
            raise ValueError(str(error)) from None
        return key

    @property
    def field(self) -> SettingField:
        return field_of(self.key)

    @property
    def is_numeric(self) -> bool:
        return self.field.kind in NUMBERS

    @property
    def count(self) -> float:
        """How many values can occur; infinite for a range without steps."""
        smooth = self.step is None and self.field.kind != "int"
        return len(self.choices) or (math.inf if smooth else self._steps + 1)

    @property
    def values(self) -> list[Any]:
        """The values that can occur, in order, of which there may be very many."""
        return [self.value(place) for place in range(int(self.count))]

    def value(self, place: int) -> Any:
        """Return the value at a place in `values`."""
        if self.choices:
            return self.choices[place]
        value = min(self.low + place * (self.step or 1), self._last)
        return int(value) if self.field.kind == "int" else value

    def draw(self, chance: random.Random) -> Any:
        """Return one of the values at random."""
        if math.isinf(self.count):
            if self.log:
                return math.exp(chance.uniform(math.log(self.low), math.log(self.high)))
            return chance.uniform(self.low, self.high)
        return self.value(chance.randrange(int(self.count)))

    @property
    def _steps(self) -> int:
        return math.floor((self.high - self.low) / (self.step or 1) * (1 + 1e-12) + 1e-9)

    @property
    def _last(self) -> float:
        """The last value of a range with steps, as Optuna has it: 0.3 and not 0.1 * 3, which is a little more."""
        return float(Decimal(repr(self.low)) + self._steps * Decimal(repr(self.step or 1)))

    def distribution(self) -> Any:
        """Return the dimension as Optuna has it."""
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        if self.choices:
            return CategoricalDistribution(self.choices)
        high = self.high if self.step is None else self._last
        if self.field.kind == "int":
            return IntDistribution(int(self.low), int(high), log=self.log, step=int(self.step or 1))
        return FloatDistribution(self.low, high, log=self.log, step=self.step)

    def typed(self, value: Any) -> Any:
        """Return a value as a number where the setting is one, for tables and charts."""
        if not self.is_numeric:
            return value
        return int(float(value)) if self.field.kind == "int" else float(value)

    @property
    def text(self) -> str:
        """The dimension as --vary accepts it."""
        if self.choices:
            return f"{self.key}={separator(self.field).join(self.choices)}"
        scale = ":log" if self.log else f":step={format_value(self.step)}" if self.step else ""
        return f"{self.key}={format_value(self.low)}..{format_value(self.high)}{scale}"

    def checked(self) -> Self:
        """Return the dimension. Raises SettingsError with what is wrong and what is allowed."""
        field = self.field
        if self.key in NOT_VARIED:
            raise SettingsError(f"A sweep does not vary `{self.key}`. {NOT_VARIED[self.key]}.")
        if self.choices:
            different = {_checked_value(field, choice): choice for choice in self.choices}  # 0.1 and 1e-1 are one
            if len(different) < 2:
                raise SettingsError(
                    f"`{self.key}` needs at least two different values. Name it with --set if it is fixed."
                )
            return self.model_copy(update={"choices": tuple(different.values())})
        if field.kind not in NUMBERS:
            raise SettingsError(
                f"`{self.key}` is not a number, so it has no range. List its values, such as {self.key}=A,B."
            )
        for limit in (self.low, self.high):
            _checked_value(field, int(limit) if field.kind == "int" and limit.is_integer() else limit)
        entered = f"You entered {format_value(self.low)}..{format_value(self.high)}"
        if self.low >= self.high:
            raise SettingsError(f"The range of `{self.key}` must go from a smaller to a larger number. {entered}.")
        if self.log and self.low <= 0:
            raise SettingsError(f"The range of `{self.key}` must begin above 0 to be logarithmic. {entered}.")
        if self.log and self.step is not None:
            raise SettingsError(f"The range of `{self.key}` can be logarithmic or have steps, not both.")
        width = self.high - self.low
        if self.step is not None and not width / 1e9 <= self.step <= width:
            raise SettingsError(
                f"The step of `{self.key}` must be at most the width of its range, and at least a billionth of it. "
                f"You entered {format_value(self.step)}."
            )
        if self.step is not None and field.kind == "int" and not self.step.is_integer():
            raise SettingsError(
                f"The step of `{self.key}` must be a whole number. You entered {format_value(self.step)}."
            )
        return self


def separator(field: SettingField) -> str:
    """Return what separates the values of a list. A value that is a list of numbers itself has commas."""
    return "/" if field.kind in ("ints", "blocks") else ","


def _checked_value(field: SettingField, value: Any) -> Any:
    """Return a value as the schema has it, or as it is if only the other settings forbid it. Raises SettingsError."""
    nested = {field.section: {field.name: value}} if field.section else {field.name: value}
    try:
        settings = settings_from_dict(nested)
        return getattr(getattr(settings, field.section) if field.section else settings, field.name)
    except SettingsError as error:
        own = error.by_key.get(field.key)
        # what depends on other settings, which may vary too, is for each trial to say
        if own and own.startswith((f"`{field.key}` must be {field.allowed}", f"`{field.key}` must be {field.range}")):
            raise SettingsError(own, {field.key: own}) from None
        return value


def parse_dimension(text: str) -> Dimension:
    """Return a dimension from KEY=LOW..HIGH, with :log or :step=S behind it, or KEY=A,B,C. Raises SettingsError."""
    key, equals, values = (part.strip() for part in text.partition("="))
    if not (equals and key and values):
        raise SettingsError(f"--vary needs a setting and its values, such as {EXAMPLE}. You entered {text[:80]!r}.")
    field = field_of(key)
    if ".." not in values or field.kind not in NUMBERS:
        return Dimension(key=key, choices=tuple(part.strip() for part in values.split(separator(field)))).checked()
    limits, *options = values.split(":")
    low, _, high = limits.partition("..")
    found: dict[str, Any] = {"low": _number(key, low), "high": _number(key, high)}
    for option in options:
        name, _, value = option.partition("=")
        if name == "log" and not value:
            found["log"] = True
        elif name == "step":
            found["step"] = _number(key, value)
        elif name != "linear":
            raise SettingsError(f"A range ends with :log, :linear or :step=S. You entered {option[:40]!r} for `{key}`.")
    return Dimension(key=key, **found).checked()


def _number(key: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise SettingsError(
            f"A range needs two numbers, such as {EXAMPLE}. You entered {text.strip()[:40]!r} for `{key}`."
        )
    return number


def parse_space(texts: Iterable[str]) -> tuple[Dimension, ...]:
    """Return the dimensions, those of a name in READY_MADE included unless others replace them.

    Raises SettingsError if one is invalid, appears twice, or there is none.
    """
    own, ready = list[Dimension](), list[Dimension]()
    for text in texts:
        found = ready if text in READY_MADE else own
        found += map(parse_dimension, READY_MADE.get(text, [text]))
    keys = {dimension.key for dimension in own}
    return checked_space([*(dimension for dimension in ready if dimension.key not in keys), *own])


def checked_space(dimensions: Iterable[Dimension]) -> tuple[Dimension, ...]:
    """Return the dimensions. Raises SettingsError if one is invalid, appears twice, or there is none."""
    space = tuple(dimension.checked() for dimension in dimensions)
    keys = [dimension.key for dimension in space]
    if not keys:
        raise SettingsError(f"Nothing varies. Choose at least one setting and its values, such as {EXAMPLE}.")
    for key in keys:
        if keys.count(key) > 1:
            raise SettingsError(f"`{key}` appears twice. Give all its values at once.")
    return space


def combinations(space: Iterable[Dimension]) -> float:
    """Return the number of combinations, infinite with a range without steps."""
    return math.prod(dimension.count for dimension in space)


def settings_with(base: Settings, values: Mapping[str, Any]) -> Settings:
    """Return settings with other values by dotted key. Raises SettingsError if they do not fit together."""
    nested = base.model_dump()
    for key, value in values.items():
        field = field_of(key)
        (nested[field.section] if field.section else nested)[field.name] = value
    return settings_from_dict(nested)
