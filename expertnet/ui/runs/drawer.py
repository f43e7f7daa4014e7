"""The drawer: a run with its figures, actions, note, curves and settings; the import; or the trash."""

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from expertnet.settings.fields import with_labels
from expertnet.store.index import RunIndex
from expertnet.store.rows import RunRow
from expertnet.store.run_store import RunStore
from expertnet.store.status import epochs_text
from expertnet.store.trash import trashed
from expertnet.ui.chart import show_chart
from expertnet.ui.run_details import epoch_chart, settings_table, tracker_links
from expertnet.ui.run_picker import model_card
from expertnet.ui.runs.actions import run_actions
from expertnet.ui.runs.imports import import_panel
from expertnet.ui.runs.state import IMPORT, TRASH, close_drawer, drawer, open_drawer, opened
from expertnet.ui.runs.trash import trash_panel
from expertnet.ui.shell import missing, shown_error, state_label, toast
from expertnet.ui.style import room_key
from expertnet.utils.text import escape, percent, time_text

WIDTH = 640  # pixels; fits two charts side by side


def page_menu(place: DeltaGenerator, store: RunStore) -> None:
    """Draw the menu of the page, which opens the import or the trash."""
    labels = {IMPORT: "Import runs", TRASH: f"Trash ({len(trashed(store)):,})"}
    chosen = place.menu_button(
        "More", list(labels), format_func=labels.__getitem__, icon=":material/more_horiz:", key="more"
    )
    if chosen:
        open_drawer(chosen)


def show_drawer(index: RunIndex, store: RunStore) -> None:
    """Draw what the URL opens in the drawer."""
    what = opened()
    row = next(iter(index.rows(id=[what])), None)
    if what == IMPORT:
        drawer("Import runs", import_panel)
    elif what == TRASH:
        drawer("Trash", lambda: trash_panel(store), WIDTH)
    elif row is not None:
        drawer(escape(row.title), lambda: _run(row), WIDTH)
    elif what:
        toast(missing(what, store))
        close_drawer()


def _run(row: RunRow) -> None:
    _facts(row)
    run_actions(row)
    if row.note:
        st.text(row.note)  # not as Markdown
    if row.settings:
        if len(row.curves["epoch"]):
            with shown_error(), st.grid(2, min_column_width=260):
                for quantity in ("accuracy", "loss"):
                    show_chart(epoch_chart(row.run, quantity), f"{quantity} {row.id}")
        tracker_links(row.run)
        settings_table(row.run)
    model_card(row.run)


def _facts(row: RunRow) -> None:
    facts = [
        state_label(row.state),
        f"epoch {epochs_text(row.state, row.epoch, row.epochs)}" if row.epochs else "",
        escape(row.dataset),
    ]
    st.caption(" · ".join([*filter(None, facts), escape(time_text(row.run.created))]))
    figures = st.container(horizontal=True, gap="large", key=room_key("measures"))
    best = "Test accuracy, last epoch" if row.watches_test else "Best validation accuracy"
    figures.metric(best, percent(row.best), width="content")
    if not row.watches_test:
        figures.metric("Test accuracy", percent(row.test), width="content")
    if row.tags:
        st.caption(f"Tags: {escape(', '.join(row.tags))}")
    if row.status.error:
        st.error(escape(with_labels(row.status.error)), icon=":material/error:")
