"""The drawer: a run with its figures, actions, note, curves and settings; the import; or the trash."""

from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from expertnet.charts.base import specification
from expertnet.charts.training import learning_curves
from expertnet.settings.fields import display_value, flat, setting_fields, with_labels
from expertnet.settings.schema import Settings
from expertnet.store.history import read_history
from expertnet.store.index import RunRow
from expertnet.store.run_store import RunStore
from expertnet.store.trash import trashed
from expertnet.ui.chart import show_chart
from expertnet.ui.run_picker import model_card
from expertnet.ui.runs.actions import run_actions
from expertnet.ui.runs.imports import import_panel
from expertnet.ui.runs.state import IMPORT, TRASH, close_drawer, drawer, open_drawer, opened
from expertnet.ui.runs.trash import trash_panel
from expertnet.ui.shell import NO_RUN, shown_error, state_label, time_text, toast
from expertnet.utils.files import cached_on_file
from expertnet.utils.text import escape, percent

WIDTH = 640  # pixels; fits two charts side by side
SETTINGS_HEIGHT = 320  # pixels


def page_menu(place: DeltaGenerator, store: RunStore) -> None:
    """Draw the menu of the page, which opens the import or the trash."""
    labels = {IMPORT: "Import runs", TRASH: f"Trash ({len(trashed(store)):,})"}
    chosen = place.menu_button(
        "More", list(labels), format_func=labels.__getitem__, icon=":material/more_horiz:", key="more"
    )
    if chosen:
        open_drawer(chosen)


def show_drawer(rows: list[RunRow], store: RunStore) -> None:
    """Draw what the URL opens in the drawer."""
    what = opened()
    row = next((row for row in rows if row.id == what), None)
    if what == IMPORT:
        drawer("Import runs", import_panel)
    elif what == TRASH:
        drawer("Trash", lambda: trash_panel(store), WIDTH)
    elif row is not None:
        drawer(escape(row.title), lambda: _run(row), WIDTH)
    elif what:
        toast(NO_RUN)
        close_drawer()


def _run(row: RunRow) -> None:
    _facts(row)
    run_actions(row)
    if row.note:
        st.text(row.note)  # not as Markdown
    if row.settings:
        if len(row.curves["epoch"]):
            with shown_error():
                _curves(row, row.settings)
        _settings(row.settings)
    model_card(row.run)


def _facts(row: RunRow) -> None:
    facts = [state_label(row.state), f"epoch {row.epoch} of {row.epochs}" if row.epochs else "", escape(row.dataset)]
    st.caption(" · ".join([*filter(None, facts), escape(time_text(row.run.created))]))
    figures = st.container(horizontal=True, gap="large")
    best = "Test accuracy, last epoch" if row.watches_test else "Best validation accuracy"
    figures.metric(best, percent(row.best), width="content")
    if not row.watches_test:
        figures.metric("Test accuracy", percent(row.test), width="content")
    if row.tags:
        st.caption(f"Tags: {escape(', '.join(row.tags))}")
    if row.status.error:
        st.error(escape(with_labels(row.status.error)), icon=":material/error:")


def _curves(row: RunRow, settings: Settings) -> None:
    with st.grid(2, min_column_width=260):
        for quantity, spec in zip(("accuracy", "loss"), _specs(row.run.path / "metrics.jsonl", settings), strict=True):
            show_chart(spec, f"{quantity} {row.id}")


@cached_on_file(maxsize=16)
def _specs(history: Path, settings: Settings) -> list[dict[str, Any]]:
    frame, monitored = pd.DataFrame(read_history(history)), "test set" if settings.watches_test else "validation"
    epochs = settings.training.epochs
    return [specification(learning_curves(frame, name, epochs, monitored)) for name in ("accuracy", "loss")]


def _settings(settings: Settings) -> None:
    values = flat(settings)
    table = {field.label: display_value(values[field.key]) for field in setting_fields()}
    st.dataframe(
        pd.DataFrame({"Setting": list(table), "Value": list(table.values())}),
        hide_index=True,
        width="stretch",
        height=SETTINGS_HEIGHT,
        alt="All settings of the run",
    )
