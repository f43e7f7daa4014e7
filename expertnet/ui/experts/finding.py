"""Show a finding: its sentence, its chart or table, how it was computed, and downloads."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import streamlit as st

from expertnet.charts.base import to_file
from expertnet.findings.finding import Finding
from expertnet.utils.text import escape, to_csv

FORMATS: dict[Literal["png", "svg"], str] = {"png": "image/png", "svg": "image/svg+xml"}
SHARES = ("first", "accuracy", "change", "low", "high", "share")  # columns shown as percentages


def show(finding: Finding, select: bool = False, table: bool = False, suffix: str = "") -> Any:
    """Show a finding, with its table below the chart if `table` is set.

    With `select`, return what the user clicked in the chart. `suffix` tells apart two findings with the same name.
    """
    name = finding.name + suffix
    st.markdown(escape(finding.sentence))
    event = None
    if finding.chart is not None:
        selecting: dict[str, Any] = {"on_select": "rerun"} if select else {}
        event = st.vega_lite_chart(spec=finding.spec, width="stretch", key=name, **selecting)
    if finding.chart is None or table:
        rows = finding.table.round(4).replace("", "–").rename(columns=lambda column: column.replace("_", " "))
        percent = {name: st.column_config.NumberColumn(format="percent") for name in SHARES}
        st.dataframe(rows, hide_index=True, width="stretch", column_config=percent, alt=finding.sentence)
    with st.expander("How this is computed", type="compact"):
        st.markdown(escape(finding.method))
    with st.popover("Save", icon=":material/download:", type="tertiary", key=f"save {name}"):
        _downloads(finding, name)
    return event


def _downloads(finding: Finding, name: str) -> None:
    """Offer the table and the chart as files, each made when the user asks for it."""

    def offer(label: str, make: Callable[[], bytes | str], suffix: str, mime: str) -> None:
        st.download_button(label, make, f"{name}.{suffix}", mime, key=f"{suffix} {name}", on_click="ignore")

    offer("Table (CSV)", partial(to_csv, finding.table), "csv", "text/csv")
    if finding.chart is not None:
        for format, mime in FORMATS.items():
            offer(f"Chart ({format.upper()})", partial(to_file, finding.chart, format), format, mime)
