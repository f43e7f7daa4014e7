"""Show a finding: its sentence, its chart or table, how it was computed, and downloads."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pandas as pd
import streamlit as st

from expertnet.charts.base import to_file
from expertnet.findings.finding import Finding
from expertnet.ui.chart import show_chart
from expertnet.utils.text import escape, to_csv

MIME = {"csv": "text/csv", "png": "image/png", "svg": "image/svg+xml"}

Clicked = Callable[[dict[str, Any]], None]  # takes the fields of what was clicked, none of them after a click elsewhere


def show(finding: Finding, table: bool | pd.DataFrame = False, of: str = "", clicked: Clicked | None = None) -> None:
    """Show a finding, with its table below the chart if `table` is set: another one to show in its place, or True.

    `of` tells apart two of the same kind, such as "first run". `clicked` is called after a click in the chart, or after the
    choice of a row if there is only a table.
    """
    key, title = (finding.name, finding.title) if not of else (f"{finding.name} {of}", f"{finding.title} ({of})")
    st.markdown(escape(finding.sentence))
    if finding.spec is not None:

        def on_select() -> None:
            picked = [fields for found in st.session_state[key].selection.values() for fields in found]
            assert clicked is not None
            clicked(picked[0] if picked else {})

        selecting: dict[str, Any] = {"on_select": on_select} if clicked else {}
        show_chart(finding.spec, key, **selecting)
    if finding.chart is None or table is not False:
        shown = table if isinstance(table, pd.DataFrame) else finding.table
        rows = shown.round(4).replace("", "–").rename(columns=_named)
        shares = finding.shares if shown is finding.table else ()
        percent = {_named(name): st.column_config.NumberColumn(format="percent") for name in shares}

        def on_row() -> None:
            picked = st.session_state[key].selection.rows
            assert clicked is not None
            clicked(finding.table.iloc[picked[0]].to_dict() if picked else {})

        rows_options: dict[str, Any] = {"key": key, "on_select": on_row, "selection_mode": "single-row"}
        options = rows_options if clicked and finding.chart is None else {}
        st.dataframe(
            rows,
            hide_index=True,
            width="stretch",
            column_config=percent,
            placeholder="–",
            alt=finding.sentence,
            **options,
        )
    with st.expander(f"How the {title} is computed", type="compact"):
        st.markdown(escape(finding.method))
    files: dict[str, Callable[[], bytes | str]] = {"csv": partial(to_csv, finding.table)}  # each made on request
    if finding.chart is not None:
        files |= {"png": partial(to_file, finding.chart, "png"), "svg": partial(to_file, finding.chart, "svg")}
    with st.popover(f"Save {title}", icon=":material/download:", type="tertiary", key=f"save {key}"):
        for ending, make in files.items():
            label = f"{'Table' if ending == 'csv' else 'Chart'} ({ending.upper()})"
            file = f"{key.replace(' ', '-')}.{ending}"
            st.download_button(label, make, file, MIME[ending], key=f"{ending} {key}", on_click="ignore")


def _named(column: str) -> str:
    return column.replace("_", " ")
