"""Tables and words that others can name, made harmless for where they go, and figures as sentences write them.

In this module: to_csv, escape, escape_for_file; percent, points, amount, counted.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

import pandas as pd

FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r", "\n")  # a spreadsheet runs a cell that begins with one


def to_csv(table: pd.DataFrame) -> str:
    """A table as CSV in which no text, such as a file's name from outside, is a formula: an apostrophe stands before it."""

    def harmless(cell: Any) -> Any:
        return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA_SIGNS) else cell

    table = table.map(harmless).rename(columns=harmless)
    return table.to_csv(index=False, quoting=csv.QUOTE_NONNUMERIC)  # or a line's end within a name would start a row


def escape(text: str) -> str:
    """Text that a person can name, so that Markdown shows it as it is.

    A browser makes links of addresses whatever signs are escaped, so a sign that takes no room (U+2060) parts those.
    """
    text = re.sub(r"(?<=http:)(?=//)|(?<=https:)(?=//)|(?<=www)(?=\.)", "\u2060", text, flags=re.IGNORECASE)
    return re.sub(r"([\\`*_{}\[\]()<>#+!|~$:&-])", r"\\\1", text.replace("\n", " "))


def escape_for_file(text: str) -> str:
    """The same within a line of a Markdown file: many viewers show a backslash before any other sign than these as it is.

    Signs that some viewers make links, formulas or strokes of are written by their numbers, which all of them know.
    """
    text = re.sub(r"([\\`*_{}\[\]#])", r"\\\1", " ".join(text.split()))
    return re.sub(r"[<>&~$|@]|:(?=//)|(?<=www)\.", lambda sign: f"&#{ord(sign[0])};", text, flags=re.IGNORECASE)


# --- figures in sentences --------------------------------------------------------------------------------------------


def percent(share: float | None, digits: int = 1) -> str:
    return "–" if share is None else f"{share * 100:.{digits}f}%"


def points(change: float) -> str:
    """How far two shares lie apart, in percentage points."""
    apart = abs(change) * 100
    return "under 0.1 points" if 0 < apart < 0.05 else f"{apart:.1f} points"


def amount(value: float, unit: str) -> str:
    """So many bits or nats, to as many decimals as say something."""
    return f"under 0.001 {unit}".rstrip() if value < 0.001 else f"{value:.3f} {unit}".rstrip()


def counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"


# --- words ------------------------------------------------------------------------------------------------------------


def cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1].rstrip()}…"


def did_you_mean(word: str, known: Iterable[str], likeness: float = 0.6) -> str:
    """What follows a word that is not known in its sentence: the known one that is most like it, or nothing."""
    found = get_close_matches(word[:80].lower(), list(known), 1, likeness)
    return f" (did you mean {found[0]}?)" if found else ""
