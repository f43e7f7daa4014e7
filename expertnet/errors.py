"""Errors whose text is meant for users: what happened, why, and what to do."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal


class UserError(Exception):
    """Base of all errors that pages and the command line show as text, without a traceback."""


class SettingsError(UserError):
    """Invalid settings. `by_key` maps each invalid setting to its message; the text is the first of these."""

    def __init__(self, text: str, by_key: Mapping[str, str] | None = None) -> None:
        super().__init__(text)
        self.by_key: Mapping[str, str] = by_key or {}


class DatasetError(UserError):
    """A dataset cannot be found, read or used. `meant` is the folder that was probably meant instead."""

    def __init__(self, text: str, meant: Path | None = None) -> None:
        super().__init__(text)
        self.meant = meant


class ImageError(UserError):
    """A file cannot be read as an image: `kind` is "format" (of another kind), "size" (too large) or "damaged"."""

    def __init__(self, text: str, kind: Literal["format", "size", "damaged"] = "damaged") -> None:
        super().__init__(text)
        self.kind = kind


class RunError(UserError):
    """A run cannot be found, read, changed or resumed."""


class NetworkError(UserError):
    """A torch module cannot be studied in the routing lab."""


class AccessError(UserError):
    """A user lacks permission, or the access rules are invalid. The text never contains a secret."""


class TrainingError(UserError):
    """Training cannot continue. `kind` is "nan" (a loss is not finite) or "memory" (the device is full)."""

    def __init__(self, text: str, kind: Literal["nan", "memory"]) -> None:
        super().__init__(text)
        self.kind = kind
