"""Which runs a table shows, and in which order; all of it is in the address.

In this module: filter_runs, and nothing_matches for when it leaves none.
"""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from expertnet.store.index import ORDERS, RunRow, matching, ordered
from expertnet.ui.shell import STATES

FEW = 5  # runs that are overlooked without filters
KEYS = ("q", "dataset", "state", "preset", "tag")  # of the widgets, and in the address
CHOICES: dict[str, tuple[str, Callable[[RunRow], tuple[str, ...]]]] = {
    "dataset": ("Dataset", lambda row: (row.dataset,)),
    "state": ("State", lambda row: (row.state,)),
    "preset": ("Preset", lambda row: (row.preset,)),
    "tag": ("Tag", lambda row: row.tags),
}


def filter_runs(rows: list[RunRow]) -> list[RunRow]:
    """Draws the filters that there is something to choose from, and returns the rows they leave."""
    if len(rows) < 2 and not _asked():
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
    chosen = {key: _choose(place, rows, key) for key in CHOICES} if len(rows) > FEW or _asked() else {}
    order = "newest"
    if len(rows) > FEW or "order" in st.query_params:
        order = place.selectbox("Order", ORDERS, key="order", bind="query-params", width=185)
    return ordered(matching(rows, text or "", **chosen), order)


def _asked() -> bool:
    return any(key in st.query_params for key in KEYS)


def _choose(place: st.delta_generator.DeltaGenerator, rows: list[RunRow], key: str) -> list[str]:
    """What is chosen stays on offer where no run has it any more: the address still says it, and so must the page."""
    label, values = CHOICES[key]
    there = {value for row in rows for value in values(row) if value}
    asked = [value for value in st.session_state.get(key, st.query_params.get_all(key)) if value]
    if not asked and len(there) < (1 if key == "tag" else 2):
        return []
    order = list(STATES)
    options = sorted(there | set(asked), key=lambda value: (order.index(value) if value in order else -1, value))
    return place.multiselect(label, options, key=key, bind="query-params", placeholder="Any", width=170)


def _clear() -> None:
    for key in KEYS:
        if key in st.session_state:
            st.session_state[key] = "" if key == "q" else []


def nothing_matches(count: int) -> None:
    """Where the filters leave nothing: says so, and how to see the runs again."""
    st.info(f"None of the {count:,} runs matches.", icon=":material/filter_alt_off:")
    st.button("Clear the filters", key="clear filters", on_click=_clear, icon=":material/close:")
