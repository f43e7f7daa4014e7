"""The cells and columns of a table of runs."""

import hashlib
import unicodedata
from collections.abc import Collection
from itertools import accumulate
from typing import Any

import pandas as pd
import streamlit as st

from expertnet.store.index import RunRow, row_labels
from expertnet.ui.shell import state_mark

TALLEST = 20  # rows; a longer table scrolls
ROW, PADDING, CHIP = 35, 8, 16  # pixels: height of a row, space on each side of a cell's text, space around a tag
WIDTHS = {"Run": 250, "Dataset": 150, "Tags": 150}  # pixels of the columns whose texts users choose


def table_of(rows: list[RunRow]) -> pd.DataFrame:
    """Return a line per run. Runs with the same title get a part of their id."""
    labels = row_labels(rows, max(len(row.title) for row in rows))
    table = pd.DataFrame([_cells(row, labels[row.id].removeprefix(row.title)) for row in rows])
    return table.assign(**{name: table[name].astype(float) * 100 for name in ("Best", "Test")})


def _cells(row: RunRow, id_part: str) -> dict[str, Any]:
    ending = f"{id_part} (damaged)" if row.damage else id_part
    return {
        "Run": fitted(row.title, WIDTHS["Run"], ending),
        "State": state_mark(row.state),
        "Best": row.best_validation,
        "Test": row.test,
        "Created": row.created,
        "Accuracy": row.spark,
        "Epochs": f"{row.epoch} of {row.epochs}" if row.epochs else None,
        "Dataset": fitted(row.dataset, WIDTHS["Dataset"]) or None,
        "Tags": [fitted(tag, WIDTHS["Tags"] - CHIP) for tag in row.tags],
        "Monitored": "test set" if row.watches_test else "validation",
    }


def select_runs(
    rows: list[RunRow], table: pd.DataFrame, key: str, alt: str, selected: Collection[str] = ()
) -> list[RunRow]:
    """Draw the table of the rows and return those that the user selects. `selected` holds the ids selected at first."""
    event = st.dataframe(
        table,
        hide_index=True,
        width="stretch",
        height=height(len(rows)),
        placeholder="–",
        on_select="rerun",
        selection_mode="multi-row",
        selection_default={"selection": {"rows": [place for place, row in enumerate(rows) if row.id in selected]}},
        key=key,
        alt=alt,
        column_config={name: column for name, column in _columns().items() if name in table},
    )
    return [rows[index] for index in event["selection"]["rows"] if index < len(rows)]


def _columns() -> dict[str, Any]:
    """Return the columns, the most important first, which a narrow window still shows."""
    column = st.column_config
    return {
        "Run": column.TextColumn(width=WIDTHS["Run"]),
        "State": column.TextColumn(width=115),  # fits "interrupted", the longest
        "Best": column.NumberColumn(
            "Best validation", format="%.1f%%", width=115, help="Accuracy of the best epoch on the validation set."
        ),
        "Test": column.NumberColumn("Test", format="%.1f%%", width=75, help="Accuracy on the test set."),
        "Created": column.DatetimeColumn(format="distance", width=115),
        "Accuracy": column.LineChartColumn("Accuracy by epoch", y_min=0, y_max=1, width=130),
        "Epochs": column.TextColumn(alignment="right", width=95),
        "Dataset": column.TextColumn(width=WIDTHS["Dataset"]),
        "Tags": column.ListColumn(width=WIDTHS["Tags"]),
        "Monitored": column.TextColumn(width=95, help="The set on which the accuracy by epoch is measured."),
    }


def height(count: int) -> int:
    return (min(count, TALLEST) + 1) * ROW + 3


def table_key(rows: list[RunRow], kind: str) -> str:
    """Return a widget key. A selection holds row numbers, so other rows or another order need another table."""
    return f"{kind} {hashlib.sha256(' '.join(row.id for row in rows).encode()).hexdigest()[:16]}"


def fitted(text: str, width: int, ending: str = "") -> str:
    """Return the text cut with an ellipsis to fit a cell of `width` pixels, and its ending. Tables cut without a sign."""
    room, ends = width - 2 * PADDING - sum(map(_pixels, ending)), list(accumulate(map(_pixels, text)))
    if text and ends[-1] > room:
        text = text[: sum(end <= room - _pixels("…") for end in ends)].rstrip() + "…"
    return text + ending


def _pixels(char: str) -> float:
    """Return the approximate width of a character in the font of tables (14 pixels)."""
    if char in "ijlftrI|!'.,:;()[]{}-/\\ ":
        return 4.2
    if char in "mwMW%@…" or unicodedata.east_asian_width(char) in "WF":
        return 13
    return 8.8 if char.isupper() else 7.3
