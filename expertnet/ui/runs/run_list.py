"""The list of runs: filters, a table, and the choice of the runs to compare."""

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from expertnet.charts.runs import NAMED, line_sample
from expertnet.store.index import ORDERS, matching, ordered, row_labels, rows_of
from expertnet.store.rows import RunRow
from expertnet.ui.auth import login
from expertnet.ui.runs import state
from expertnet.ui.runs.table import TALLEST, draw_table, table_key, table_of, ticked_rows
from expertnet.ui.shell import STATES, keep_choice
from expertnet.utils.text import counted

LOOK_EVERY, LOOK_EVERY_PER_ROW = 2.0, 0.005  # seconds between looks at active runs, and the extra for each row
FEW = 5  # runs that need no filters
DRAWN = 500  # runs in the table and in the choice of those to compare; a browser takes long to draw thousands
BESIDE = 7  # rows beside a comparison, which then begins in the first screen of a phone
CHOICES = ("dataset", "state", "preset", "tag")
KEYS = ("q", *CHOICES)  # of the filters and the URL


def find_runs(rows: list[RunRow]) -> tuple[list[RunRow], list[RunRow]]:
    """Draw the filters that have something to choose from. Return the rows that pass them, and those to compare."""
    by_id = {row.id: row for row in rows}
    state.read_url(by_id)
    if len(rows) > 1 or _in_url():
        rows = _controls(rows)
    compared = state.write_url()
    return rows, [by_id[run_id] for run_id in compared]


def _controls(rows: list[RunRow]) -> list[RunRow]:
    place = st.container(horizontal=True, vertical_alignment="bottom")
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
    chosen, order = _filters(place, rows)
    labels, chosen_ids = row_labels(rows), st.session_state.get(state.COMPARED, ())
    offered = list(dict.fromkeys([*(row.id for row in rows[:DRAWN]), *chosen_ids]))
    keep_choice(state.COMPARED, [labels[run_id] for run_id in offered])
    place.multiselect(
        "Compared runs",
        offered,
        format_func=labels.__getitem__,
        key=state.COMPARED,
        placeholder="Choose runs here, or tick them in the table",
        select_all=False,  # or Enter would choose all instead of the first match
    )
    return ordered(matching(rows, text or "", **chosen), order)


def _filters(place: DeltaGenerator, rows: list[RunRow]) -> tuple[dict[str, list[str]], str]:
    """Draw the filters and the order, and return both."""
    if len(rows) <= FEW and not _in_url() and "order" not in st.query_params:
        return {}, "newest"
    active = sum(bool(_chosen(key)) for key in CHOICES)
    panel = place.popover(f"Filters ({active})" if active else "Filters", icon=":material/filter_list:", key="filters")
    chosen = {key: _choose(panel, rows, key) for key in CHOICES}
    return chosen, panel.selectbox("Order", ORDERS, key="order", bind="query-params")


def _in_url() -> bool:
    return any(key in st.query_params for key in KEYS)


def _chosen(key: str) -> list[str]:
    return [value for value in st.session_state.get(key, st.query_params.get_all(key)) if value]


def _choose(place: DeltaGenerator, rows: list[RunRow], key: str) -> list[str]:
    """Draw one filter. It keeps offering what is chosen, even if no run has it any more, since the URL still says it."""
    present = {value for row in rows for value in (row.tags if key == "tag" else [getattr(row, key)]) if value}
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


def run_table(rows: list[RunRow], shown: list[RunRow], compared: list[RunRow]) -> None:
    """Draw a table of the rows that are `shown`. A name opens its run, and ticks choose the runs to compare."""
    if not shown:
        st.info("No run matches the filters.", icon=":material/filter_alt_off:")
        st.button("Clear filters", key="clear filters", on_click=_clear, icon=":material/close:")
        return
    count, matched = counted(len(rows), "run"), len(shown)
    shown = shown[:DRAWN]
    table, looks = table_of(shown), {row.id: index for index, row in enumerate(compared)}
    if 1 < len(compared) <= NAMED:
        samples = [line_sample(looks[row.id]) if row.id in looks else "" for row in shown]
        table.insert(0, "Line", samples)
    if not table["Tags"].map(len).any():
        table = table.drop(columns="Tags")
    measured = ""
    if any(row.watches_test for row in shown):
        measured = " “Measured on” names the images of the accuracy by epoch: runs that hold out no validation images use the test set."
    else:
        table = table.drop(columns="Measured on")
    key, ids = table_key(shown, "table"), [row.id for row in shown]
    wanted = [place for place, run_id in enumerate(ids) if run_id in looks]

    def tick() -> None:
        places = ticked_rows(key)
        if sorted(places) == wanted:
            return  # the browser has only confirmed what the page has ticked
        ticked = [ids[place] for place in places]
        kept = [run_id for run_id in st.session_state[state.COMPARED] if run_id in ticked or run_id not in ids]
        state.compare(kept + [run_id for run_id in ticked if run_id not in kept])

    if sorted(ticked_rows(key)) != wanted:
        st.session_state[key] = {"selection": {"rows": wanted}}
    draw_table(
        table,
        key,
        alt="Runs with their accuracy, state, date, epochs and dataset",
        on_select=tick,
        on_open=lambda place: state.open_drawer(ids[place]),
        most=BESIDE if compared else TALLEST,
    )
    if compared:
        return  # leaves a phone more room for the comparison
    if matched < len(rows):
        count = f"{matched:,} of {count}"
    if len(shown) < matched:
        count += f", of which the table has the first {DRAWN}"
    st.caption(f"{count}. Click a name to open a run. Tick runs to compare them.{measured}")


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
