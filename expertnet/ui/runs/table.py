"""Runs as a table to choose from.

In this module: MARKS (how a state is written in a cell), run_table, which returns the ticked rows, keep_ticked, follow, which
draws the page anew while runs train, and table_of, columns and height (and fitted, which cuts a text to its column) for other
tables of runs.
"""

from __future__ import annotations

import hashlib
import unicodedata
from typing import Any

import pandas as pd
import streamlit as st

from expertnet.store.index import RunRow, row_labels, rows_of
from expertnet.ui.auth import login
from expertnet.ui.shell import state_mark

TALLEST = 20  # rows; a table of more scrolls within itself
ROW, PADDING, CHIP = 35, 8, 16  # pixels: of a row's height, at both sides of a cell's text, and around a tag
WIDTHS = {"Run": 250, "Dataset": 150, "Tags": 150}  # pixels of the columns whose texts people choose
LOOK_EVERY, LOOK_EVERY_MORE = 2.0, 0.005  # seconds between two looks at runs that train, and more for each row
TICKED = "ticked runs"  # in the session: the ids, which outlive a table of other rows
IN_ADDRESS, MOST_IN_ADDRESS = "ticked", 50  # more ids than these would make an address that some servers refuse


def fitted(text: str, width: int, ending: str = "") -> str:
    """Text and its ending as a cell of so many pixels has room for them: a table cuts what is longer off without a sign."""
    room = width - 2 * PADDING - sum(map(_pixels, ending))
    if sum(map(_pixels, text)) > room:
        room, kept = room - _pixels("…"), ""
        for sign in text:
            room -= _pixels(sign)
            if room < 0:
                break
            kept += sign
        text = f"{kept.rstrip()}…"
    return text + ending


def _pixels(sign: str) -> float:
    """About what a sign takes in the tables' font, which has 14 pixels."""
    if sign in "ijlftrI|!'.,:;()[]{}-/\\ ":
        return 4.2
    if sign in "mwMW%@…" or unicodedata.east_asian_width(sign) in "WF":
        return 13
    return 8.8 if sign.isupper() else 7.3


def table_of(rows: list[RunRow]) -> pd.DataFrame:
    """A line a run; those of the same title are told apart."""
    labels = row_labels(rows, max(len(row.title) for row in rows))
    return pd.DataFrame([_cells(row, labels[row.id].removeprefix(row.title)) for row in rows])


def _cells(row: RunRow, told_apart: str) -> dict[str, Any]:
    percent = lambda share: None if share is None else share * 100  # noqa: E731
    return {
        "Run": fitted(row.title, WIDTHS["Run"], told_apart + " (damaged)" * bool(row.damage)),
        "State": state_mark(row.state),
        "Best": percent(row.best_validation),
        "Test": percent(row.test),
        "When": row.created,
        "Accuracy": row.spark,
        "Epochs": f"{row.epoch} of {row.epochs}" if row.epochs else None,
        "Dataset": fitted(row.dataset, WIDTHS["Dataset"]) or None,
        "Tags": [fitted(tag, WIDTHS["Tags"] - CHIP) for tag in row.tags],
        "Watched": "test set" if row.watches_test else "validation",
    }


def columns() -> dict[str, Any]:
    """The important ones come first, where a narrow window still shows them."""
    column = st.column_config
    return {
        "Run": column.TextColumn(width=WIDTHS["Run"]),
        "State": column.TextColumn(width=115),  # pixels: the longest, interrupted
        "Best": column.NumberColumn(
            "Best validation",
            format="%.1f%%",
            width=115,
            help="The accuracy of the best epoch on the validation images.",
        ),
        "Test": column.NumberColumn(
            "Test",
            format="%.1f%%",
            width=75,
            help="The accuracy on the test set: measured once, at the end, where the watched set is validation.",
        ),
        "When": column.DatetimeColumn(format="distance", width=115),
        "Accuracy": column.LineChartColumn("Accuracy by epoch", y_min=0, y_max=1, width=130),
        "Epochs": column.TextColumn(alignment="right", width=95),
        "Dataset": column.TextColumn(width=WIDTHS["Dataset"]),
        "Tags": column.ListColumn(width=WIDTHS["Tags"]),
        "Watched": column.TextColumn("Watched", width=95, help="The images that the accuracy by epoch is measured on."),
    }


def height(count: int) -> int:
    return (min(count, TALLEST) + 1) * ROW + 3


def table_key(rows: list[RunRow]) -> str:
    """Ticks are row numbers, so a table of other rows, or of another order, is another table."""
    return "table " + hashlib.sha256(" ".join(row.id for row in rows).encode()).hexdigest()[:16]


def run_table(rows: list[RunRow]) -> list[RunRow]:
    """The ticked rows. A tick belongs to its run: it stays with it in another order, and goes where the run is not shown."""
    table = table_of(rows)
    if not table["Tags"].map(len).any():
        table = table.drop(columns="Tags")
    if not any(row.watches_test for row in rows):
        table = table.drop(columns="Watched")
    ticked = st.session_state.get(TICKED)
    if ticked is None:  # a session that begins
        ticked = st.query_params.get(IN_ADDRESS, "").split(",")
    event = st.dataframe(
        table,
        hide_index=True,
        width="stretch",
        height=height(len(rows)),
        placeholder="–",
        on_select="rerun",
        selection_mode="multi-row",
        selection_default={"selection": {"rows": [place for place, row in enumerate(rows) if row.id in ticked]}},
        key=table_key(rows),
        alt="The runs with their state, accuracy, date, epochs and dataset",
        column_config=columns(),
    )
    chosen = [rows[index] for index in event["selection"]["rows"] if index < len(rows)]
    keep_ticked(chosen)
    return chosen


def keep_ticked(rows: list[RunRow]) -> None:
    """In the session, and in the address, so that a comparison can be reloaded and shared."""
    st.session_state[TICKED] = ids = tuple(row.id for row in rows)
    text = ",".join(ids) if len(ids) <= MOST_IN_ADDRESS else ""
    if text == st.query_params.get(IN_ADDRESS, ""):
        return  # each change is a step of the browser's history
    if text:
        st.query_params[IN_ADDRESS] = text
    else:
        del st.query_params[IN_ADDRESS]


def follow(rows: list[RunRow]) -> None:
    """While some of them are active: looks at those now and then, and draws the page anew where one has gone on.

    With more rows, which take longer to draw, the looks are rarer, so that the page stays as cheap.
    """
    active = [row for row in rows if row.active]
    drawn = _progress(active)

    def look() -> None:
        if _progress(rows_of(row.run for row in active)) != drawn:
            st.rerun()

    if active:
        login.fragment(look, run_every=LOOK_EVERY + len(rows) * LOOK_EVERY_MORE)()


def _progress(rows: list[RunRow]) -> list[tuple[object, ...]]:
    """What the table says of runs that train."""
    return [(row.state, row.epoch, row.epochs, row.best) for row in rows]
