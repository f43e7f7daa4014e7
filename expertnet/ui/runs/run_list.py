"""The list of runs: filters, and a table from which you select some. Both are in the URL; the selection survives other pages."""

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from expertnet.store.index import ORDERS, RunRow, matching, ordered, rows_of
from expertnet.ui.auth import login
from expertnet.ui.runs.table import TALLEST, select_runs, table_key, table_of
from expertnet.ui.shell import STATES, nothing_yet
from expertnet.utils.text import counted

SELECTED = "selected runs"  # in the session: ids
IN_URL = "selected"  # the query key
MOST_IN_URL = 50  # ids; some servers refuse long URLs
LOOK_EVERY, LOOK_EVERY_PER_ROW = 2.0, 0.005  # seconds between looks at active runs, and the extra for each row
FEW = 5  # runs that need no filters
CHOICES = ("dataset", "state", "preset", "tag")
KEYS = ("q", *CHOICES)  # of the filters and the URL


def run_list(rows: list[RunRow]) -> list[RunRow]:
    """Draw the filters and the table, or what to do without runs. Return the selected rows."""
    if not rows:
        nothing_yet("There are no runs yet.")
        return []
    shown = _filtered(rows)
    if not shown:
        _remember([])
        st.info("No run matches the filters.", icon=":material/filter_alt_off:")
        st.button("Clear filters", key="clear filters", on_click=_clear, icon=":material/close:")
        return []
    count = counted(len(rows), "run")
    if len(shown) < len(rows):
        count = f"{len(shown):,} of {count}"
    scroll = " Scroll the table to see all." if len(shown) > TALLEST else ""
    st.caption(f"{count}.{scroll} Select one run to act on it, or several to compare them.")
    return _table(shown)


def _filtered(rows: list[RunRow]) -> list[RunRow]:
    """Draw the filters that have something to choose from, and return the rows that pass them."""
    if len(rows) < 2 and not _in_url():
        return rows
    place = st.container(horizontal=True, vertical_alignment="bottom")
    text = place.text_input(
        "Search",
        key="q",
        bind="query-params",
        type="search",
        live="300ms",
        icon=":material/search:",
        placeholder="Name, tag, note, dataset …",
        width=240,
    )
    chosen = {key: _choose(place, rows, key) for key in CHOICES} if len(rows) > FEW or _in_url() else {}
    order = "newest"
    if len(rows) > FEW or "order" in st.query_params:
        order = place.selectbox("Order", ORDERS, key="order", bind="query-params", width=185)
    return ordered(matching(rows, text or "", **chosen), order)


def _in_url() -> bool:
    return any(key in st.query_params for key in KEYS)


def _choose(place: DeltaGenerator, rows: list[RunRow], key: str) -> list[str]:
    """Draw one filter. It keeps offering what is chosen, even if no run has it any more, since the URL still says it."""
    present = {value for row in rows for value in (row.tags if key == "tag" else [getattr(row, key)]) if value}
    chosen = [value for value in st.session_state.get(key, st.query_params.get_all(key)) if value]
    if not chosen and len(present) < (1 if key == "tag" else 2):
        return []
    states = list(STATES)
    options = sorted(present | set(chosen), key=lambda value: (states.index(value) if value in states else -1, value))
    return place.multiselect(key.capitalize(), options, key=key, bind="query-params", placeholder="Any", width=170)


def _clear() -> None:
    for key in KEYS:
        if key in st.session_state:
            st.session_state[key] = "" if key == "q" else []


def _table(rows: list[RunRow]) -> list[RunRow]:
    table = table_of(rows)
    if not table["Tags"].map(len).any():
        table = table.drop(columns="Tags")
    if not any(row.watches_test for row in rows):
        table = table.drop(columns="Monitored")
    selected = st.session_state.get(SELECTED)
    if selected is None:  # a new session
        selected = st.query_params.get(IN_URL, "").split(",")
    about = "Runs with their state, accuracy, date, epochs and dataset"
    chosen = select_runs(rows, table, table_key(rows, "table"), about, selected)
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
