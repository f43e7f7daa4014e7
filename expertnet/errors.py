"""Errors whose text is written for users: one sentence that says what is wrong and how to fix it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal


class UserError(Exception):
    """Base of every error that the pages and the command line show as it is, without a traceback."""


class SettingsError(UserError):
    """A setting has a value that cannot be used.

    `by_key` maps the dotted name of each rejected setting to its sentence; the text of the error is the first of them.
    """

    def __init__(self, text: str, by_key: Mapping[str, str] | None = None) -> None:
        super().__init__(text)
        self.by_key: Mapping[str, str] = by_key or {}


class DatasetError(UserError):
    """A dataset cannot be found, read or used."""


class ImageError(UserError):
    """A file cannot be read as an image."""


class RunError(UserError):
    """A run cannot be found, read, changed or resumed."""


class AccessError(UserError):
    """A user may not do something, or the access rules cannot be used. The text never contains a secret."""


class TrainingError(UserError):
    """Training cannot continue. `kind` is "nan" (a loss is not finite) or "memory" (the device is full)."""

    def __init__(self, text: str, kind: Literal["nan", "memory"]) -> None:
        super().__init__(text)
        self.kind = kind
