"""Tables as files.

In this module: to_csv.
"""

from __future__ import annotations

import csv
from typing import Any

import pandas as pd

FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r", "\n")  # a spreadsheet runs a cell that begins with one


def to_csv(table: pd.DataFrame) -> str:
    """A table as CSV in which no text, such as a file's name from outside, is a formula: an apostrophe stands before it."""

    def harmless(cell: Any) -> Any:
        return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA_SIGNS) else cell

    table = table.map(harmless).rename(columns=harmless)
    return table.to_csv(index=False, quoting=csv.QUOTE_NONNUMERIC)  # or a line's end within a name would start a row
