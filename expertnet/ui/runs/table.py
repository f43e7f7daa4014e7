"""The cells and columns of a table of runs."""

import hashlib
import unicodedata
from collections.abc import Callable
from itertools import accumulate
from typing import Any, Literal

import pandas as pd
import streamlit as st

from expertnet.charts.runs import NAMED, line_sample
from expertnet.store.index import row_labels
from expertnet.store.rows import RunRow
from expertnet.store.status import epochs_text
from expertnet.ui.shell import state_mark

TALLEST = 20  # rows; a longer table scrolls
ROW, PADDING, CHIP = 35, 8, 16  # pixels: height of a row, space on each side of a cell's text, space around a tag
# Pixels of the columns whose texts users choose. A phone shows the accuracies beside the name, and with lines, beside the legend's.
WIDTHS = {"Run": 164, "Dataset": 150, "Tags": 150}
LEGEND = {"Line": 36, "Run": 136}


def table_of(rows: list[RunRow]) -> pd.DataFrame:
    """Return a line per run, without the columns that would say nothing."""
    table = _table(rows, WIDTHS["Run"])
    if not table["Tags"].map(len).any():
        table = table.drop(columns="Tags")
    return table if any(row.watches_test for row in rows) else table.drop(columns="Measured on")


def legend_of(rows: list[RunRow], compared: int) -> pd.DataFrame:
    """Return name and accuracy of each run, and how the charts draw the first `compared` ones if their lines are told apart."""
    table = _table(rows, LEGEND["Run"])[["Run", "Best", "Test"]]
    if 1 < compared <= NAMED:
        table.insert(0, "Line", [line_sample(place) if place < compared else "" for place in range(len(rows))])
    return table


def _table(rows: list[RunRow], width: int) -> pd.DataFrame:
    """Return all columns but "Line". Runs with the same title get a part of their id."""
    labels = row_labels(rows, max(len(row.title) for row in rows))
    table = pd.DataFrame([_cells(row, labels[row.id].removeprefix(row.title), width) for row in rows])
    return table.assign(**{name: table[name].astype(float) * 100 for name in ("Best", "Test")})


def _cells(row: RunRow, id_part: str, width: int) -> dict[str, Any]:
    ending = f"{id_part} (damaged)" if row.damage else id_part
    return {
        "Run": fitted(row.title, width, ending),
        "Best": row.best_validation,
        "Test": row.test,
        "State": state_mark(row.state),
        "Created": row.created,
        "Accuracy": row.spark,
        "Epochs": epochs_text(row.state, row.epoch, row.epochs) if row.epochs else None,
        "Dataset": fitted(row.dataset, WIDTHS["Dataset"]) or None,
        "Tags": [fitted(tag, WIDTHS["Tags"] - CHIP) for tag in row.tags],
        "Measured on": "test set" if row.watches_test else "validation",
    }


def select_runs(rows: list[RunRow], table: pd.DataFrame, key: str, alt: str) -> list[RunRow]:
    """Draw the table of the rows and return those that the user selects."""
    draw_table(table, key, alt)
    return [rows[place] for place in ticked_rows(key) if place < len(rows)]


def ticked_rows(key: str) -> list[int]:
    """Return the numbers of the ticked rows of a table."""
    return list(st.session_state.get(key, {}).get("selection", {}).get("rows", ()))


def draw_table(
    table: pd.DataFrame,
    key: str,
    alt: str,
    on_select: Callable[[], None] | Literal["rerun"] = "rerun",
    on_open: Callable[[int], None] | None = None,
    most: int = TALLEST,
    name_width: int = WIDTHS["Run"],
) -> None:
    """Draw a table with a box to tick in every row. With `on_open`, each name is a button that calls it with its row number."""
    columns = _columns()
    if on_open is not None:
        opener = f"open {key}"
        columns["Run"] = st.column_config.ButtonColumn(
            width=name_width,
            type="tertiary",
            alignment="left",
            key=opener,
            on_click=lambda: on_open(st.session_state[opener]["row"]),
        )
    st.dataframe(
        table,
        hide_index=True,
        width="stretch",
        height=height(len(table), most),
        placeholder="–",
        on_select=on_select,
        selection_mode="multi-row",
        key=key,
        alt=alt,
        column_config={name: column for name, column in columns.items() if name in table},
    )


def _columns() -> dict[str, Any]:
    """Return the columns, the most important first, which a narrow window still shows."""
    column = st.column_config
    return {
        "Line": column.ImageColumn("", width=LEGEND["Line"], help="The run's line in the charts."),
        "Run": column.TextColumn(width=WIDTHS["Run"]),
        "Best": column.NumberColumn(
            "Validation", format="%.1f%%", width=85, help="Best accuracy of an epoch on the validation set."
        ),
        "Test": column.NumberColumn(format="%.1f%%", width=66, help="Accuracy of the best epoch on the test set."),
        "State": column.TextColumn(width=115),  # fits "interrupted", the longest
        "Created": column.DatetimeColumn(format="distance", width=124),
        "Accuracy": column.LineChartColumn("Accuracy by epoch", y_min=0, y_max=1, width=130),
        "Epochs": column.TextColumn(alignment="right", width=95),
        "Dataset": column.TextColumn(width=WIDTHS["Dataset"]),
        "Tags": column.ListColumn(width=WIDTHS["Tags"]),
        "Measured on": column.TextColumn(width=110, help="The images on which the accuracy by epoch is measured."),
    }


def height(count: int, most: int = TALLEST) -> int:
    return (min(count, most) + 1) * ROW + 3


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
