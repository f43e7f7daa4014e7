"""The list of runs, from which you select some. The selection survives other pages and is in the URL."""

from __future__ import annotations

import streamlit as st

from expertnet.store.index import RunRow, rows_of
from expertnet.ui.auth import login
from expertnet.ui.runs.filter import filter_runs, no_match
from expertnet.ui.runs.table import TALLEST, columns, height, table_key, table_of
from expertnet.ui.shell import link
from expertnet.utils.text import counted

SELECTED = "selected runs"  # in the session: ids
IN_URL = "selected"  # the query key
MOST_IN_URL = 50  # ids; some servers refuse long URLs
LOOK_EVERY, LOOK_EVERY_PER_ROW = 2.0, 0.005  # seconds between looks at active runs, and the extra for each row


def run_list(rows: list[RunRow]) -> list[RunRow]:
    """Draw the filters and the table, or what to do without runs. Return the selected rows."""
    if not rows:
        st.info(
            "There are no runs yet. Train on the digits first, which takes about a minute.",
            icon=":material/model_training:",
        )
        link("train", "Go to Train", icon="arrow_forward")
        return []
    shown = filter_runs(rows)
    if not shown:
        _remember([])
        no_match()
        return []
    count = counted(len(rows), "run")
    if len(shown) < len(rows):
        count = f"{len(shown):,} of {count}"
    scroll = " Scroll the table to see all." if len(shown) > TALLEST else ""
    st.caption(f"{count}.{scroll} Select one run to act on it, or several to compare them.")
    return _table(shown)


def _table(rows: list[RunRow]) -> list[RunRow]:
    table = table_of(rows)
    if not table["Tags"].map(len).any():
        table = table.drop(columns="Tags")
    if not any(row.watches_test for row in rows):
        table = table.drop(columns="Monitored")
    selected = st.session_state.get(SELECTED)
    if selected is None:  # a new session
        selected = st.query_params.get(IN_URL, "").split(",")
    event = st.dataframe(
        table,
        hide_index=True,
        width="stretch",
        height=height(len(rows)),
        placeholder="–",
        on_select="rerun",
        selection_mode="multi-row",
        selection_default={"selection": {"rows": [place for place, row in enumerate(rows) if row.id in selected]}},
        key=table_key(rows),
        alt="Runs with their state, accuracy, date, epochs and dataset",
        column_config=columns(),
    )
    chosen = [rows[index] for index in event["selection"]["rows"] if index < len(rows)]
    _remember(chosen)
    return chosen


def _remember(rows: list[RunRow]) -> None:
    st.session_state[SELECTED] = ids = tuple(row.id for row in rows)
    text = ",".join(ids) if len(ids) <= MOST_IN_URL else ""
    if text == st.query_params.get(IN_URL, ""):
        return  # setting it again would add a step to the browser's history
    if text:
        st.query_params[IN_URL] = text
    else:
        del st.query_params[IN_URL]


def follow(rows: list[RunRow]) -> None:
    """Draw the page again when an active run makes progress. Longer tables take longer to draw, so it looks less often."""
    active = [row for row in rows if row.active]
    drawn = _progress(active)

    def look() -> None:
        if _progress(rows_of(row.run for row in active)) != drawn:
            st.rerun()

    if active:
        login.fragment(look, run_every=LOOK_EVERY + len(rows) * LOOK_EVERY_PER_ROW)()


def _progress(rows: list[RunRow]) -> list[tuple[object, ...]]:
    return [(row.state, row.epoch, row.epochs, row.best) for row in rows]
