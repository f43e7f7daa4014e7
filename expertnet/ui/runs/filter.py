"""Which runs the list shows, and in which order. The filters are in the URL."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from expertnet.store.index import ORDERS, RunRow, matching, ordered
from expertnet.ui.shell import STATES

FEW = 5  # runs that need no filters
KEYS = ("q", "dataset", "state", "preset", "tag")  # of the widgets and the URL
CHOICES: dict[str, tuple[str, Callable[[RunRow], tuple[str, ...]]]] = {
    "dataset": ("Dataset", lambda row: (row.dataset,)),
    "state": ("State", lambda row: (row.state,)),
    "preset": ("Preset", lambda row: (row.preset,)),
    "tag": ("Tag", lambda row: row.tags),
}


def filter_runs(rows: list[RunRow]) -> list[RunRow]:
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
    label, values = CHOICES[key]
    present = {value for row in rows for value in values(row) if value}
    chosen = [value for value in st.session_state.get(key, st.query_params.get_all(key)) if value]
    if not chosen and len(present) < (1 if key == "tag" else 2):
        return []
    states = list(STATES)
    options = sorted(present | set(chosen), key=lambda value: (states.index(value) if value in states else -1, value))
    return place.multiselect(label, options, key=key, bind="query-params", placeholder="Any", width=170)


def no_match() -> None:
    """Say that no run passes the filters, with a button that clears them."""
    st.info("No run matches the filters.", icon=":material/filter_alt_off:")
    st.button("Clear filters", key="clear filters", on_click=_clear, icon=":material/close:")


def _clear() -> None:
    for key in KEYS:
        if key in st.session_state:
            st.session_state[key] = "" if key == "q" else []
