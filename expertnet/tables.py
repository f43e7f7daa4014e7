"""Tables and words that others can name, made harmless for where they go.

In this module: to_csv, escape.
"""

from __future__ import annotations

import csv
import re
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
    """Text that a person can name, so that Markdown shows it as it is."""
    return re.sub(r"([\\`*_{}\[\]()<>#+!|~$:&-])", r"\\\1", text.replace("\n", " "))
