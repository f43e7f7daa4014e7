"""The list of runs: filters, a table, and the choice of the runs to compare."""

from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from expertnet.store.index import ENDED, ORDERS, RunIndex, row_labels, rows_of
from expertnet.store.rows import RunRow
from expertnet.ui.auth import login
from expertnet.ui.runs import state
from expertnet.ui.runs.table import LEGEND, TALLEST, WIDTHS, draw_table, legend_of, table_key, table_of, ticked_rows
from expertnet.ui.shell import STATES, keep_choice
from expertnet.ui.style import room_key
from expertnet.utils.text import counted

LOOK_EVERY, LOOK_EVERY_PER_ROW = 2.0, 0.005  # seconds between looks at active runs, and the extra for each row
FEW = 5  # runs that need no filters
DRAWN = 500  # runs in the table and in the choice of those to compare; a browser takes long to draw thousands
FOLLOWED = 100  # active runs whose progress is followed
BESIDE = 7  # rows beside a comparison, which then begins in the first screen of a phone
CHOICES = ("dataset", "state", "preset", "tag")
KEYS = ("q", *CHOICES)  # of the filters and the URL


def find_runs(index: RunIndex) -> tuple[list[RunRow], int, list[RunRow]]:
    """Draw the filters that have something to choose from. Return the first DRAWN rows that pass, how many do, and those to compare."""
    state.read_url(index)
    count = index.count()
    shown, matched = _controls(index) if count > 1 or _in_url() else (index.rows(), count)
    ids = state.write_url()
    compared = {row.id: row for row in index.rows(id=ids)}
    return shown, matched, [compared[run_id] for run_id in ids if run_id in compared]


def _controls(index: RunIndex) -> tuple[list[RunRow], int]:
    """Draw the controls. Return the first DRAWN rows that pass, and how many do."""
    place = st.container(horizontal=True, vertical_alignment="bottom", key=room_key("labelled list"))
    text = place.text_input(
        "Search",
        key="q",
        bind="query-params",
        type="search",
        live="300ms",
        icon=":material/search:",
        placeholder="Name, tag, note, dataset …",
        width=230,
    )
    chosen, order = _filters(place, index)
    which: dict[str, Any] = {"text": text or ""} | {key: values or None for key, values in chosen.items()}
    shown = index.rows(order=order, limit=DRAWN, **which)
    compared = index.rows(id=st.session_state.get(state.COMPARED, ()))
    labels = row_labels([*{row.id: row for row in (*shown, *compared)}.values()])
    offered = list(labels)
    keep_choice(state.COMPARED, [labels[run_id] for run_id in offered])
    place.multiselect(
        "Compared runs",
        offered,
        format_func=labels.__getitem__,
        key=state.COMPARED,
        placeholder="Choose runs here, or tick them in the table",
        select_all=False,  # or Enter would choose all instead of the first match
    )
    return shown, index.count(**which)


def _filters(place: DeltaGenerator, index: RunIndex) -> tuple[dict[str, list[str]], str]:
    """Draw the filters and the order, and return both."""
    if index.count() <= FEW and not _in_url() and "order" not in st.query_params:
        return {}, "newest"
    active = sum(bool(_chosen(key)) for key in CHOICES)
    panel = place.popover(f"Filters ({active})" if active else "Filters", icon=":material/filter_list:", key="filters")
    chosen = {key: _choose(panel, index, key) for key in CHOICES}
    return chosen, panel.selectbox("Order", list(ORDERS), key="order", bind="query-params")


def _in_url() -> bool:
    return any(key in st.query_params for key in KEYS)


def _chosen(key: str) -> list[str]:
    return [value for value in st.session_state.get(key, st.query_params.get_all(key)) if value]


def _choose(place: DeltaGenerator, index: RunIndex, key: str) -> list[str]:
    """Draw one filter. It keeps offering what is chosen, even if no run has it any more, since the URL still says it."""
    present = index.values("tags" if key == "tag" else key)
    chosen = _chosen(key)
    if not chosen and len(present) < (1 if key == "tag" else 2):
        return []
    states = list(STATES)
    options = sorted(present | set(chosen), key=lambda value: (states.index(value) if value in states else -1, value))
    return place.multiselect(key.capitalize(), options, key=key, bind="query-params", placeholder="Any")


def _clear() -> None:
    for key in KEYS:
        if key in st.session_state:
            st.session_state[key] = "" if key == "q" else []


def run_table(index: RunIndex, shown: list[RunRow], matched: int, compared: list[RunRow]) -> None:
    """Draw a table of the rows that are `shown`. A name opens its run, and ticks choose the runs to compare.

    Beside a comparison, the table is its legend: the compared runs come first, even those that a filter hides.
    """
    if not shown:
        st.info("No run matches the filters.", icon=":material/filter_alt_off:")
        st.button("Clear filters", key="clear filters", on_click=_clear, icon=":material/close:")
    chosen = {row.id for row in compared}
    rows = [*compared, *(row for row in shown if row.id not in chosen)]
    if not rows:
        return
    key, ids, wanted = table_key(rows, "table"), [row.id for row in rows], list(range(len(compared)))

    def tick() -> None:
        places = sorted(ticked_rows(key))
        if places != wanted:  # otherwise the browser has only confirmed what the page has ticked
            state.compare([ids[place] for place in places])

    if sorted(ticked_rows(key)) != wanted:
        st.session_state[key] = {"selection": {"rows": wanted}}
    draw_table(
        legend_of(rows, len(compared)) if compared else table_of(rows),
        key,
        alt="Runs with their accuracy" if compared else "Runs with their accuracy, state, date, epochs and dataset",
        on_select=tick,
        on_open=lambda place: state.open_drawer(ids[place]),
        most=BESIDE if compared else TALLEST,
        name_width=(LEGEND if compared else WIDTHS)["Run"],
    )
    if not compared:  # a phone needs the room for the comparison
        _say_count(index, shown, matched)


def _say_count(index: RunIndex, shown: list[RunRow], matched: int) -> None:
    """Say how many runs there are, and what can be done with the table."""
    count, measured = counted(index.count(), "run"), ""
    if any(row.watches_test for row in shown):
        measured = " “Measured on” names the images of the accuracy by epoch: runs that hold out no validation images use the test set."
    if matched < index.count():
        count = f"{matched:,} of {count}"
    if len(shown) < matched:
        count += f", of which the table has the first {DRAWN}"
    if index.unread:
        count += f", and {index.unread:,} more are still to be read"
    st.caption(f"{count}. Click a name to open a run. Tick runs to compare them.{measured}")


def follow(index: RunIndex) -> None:
    """Draw the page again when an active run makes progress. Longer tables take longer to draw, so it looks less often."""
    active = index.rows(f"NOT {ENDED}", limit=FOLLOWED)
    drawn = _progress(active)

    def look() -> None:
        if index.unread or _progress(rows_of(row.run for row in active)) != drawn:
            st.rerun()

    if active or index.unread:
        login.fragment(look, run_every=LOOK_EVERY + min(index.count(), DRAWN) * LOOK_EVERY_PER_ROW)()


def _progress(rows: list[RunRow]) -> list[tuple[object, ...]]:
    return [(row.state, row.epoch, row.epochs, row.best) for row in rows]
