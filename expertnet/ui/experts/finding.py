"""Show a finding: its sentence, its chart or table, how it was computed, and downloads."""

from collections.abc import Callable
from functools import partial
from typing import Any

import streamlit as st

from expertnet.charts.base import to_file
from expertnet.findings.finding import Finding
from expertnet.utils.text import escape, to_csv

MIME = {"csv": "text/csv", "png": "image/png", "svg": "image/svg+xml"}
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
    files: dict[str, Callable[[], bytes | str]] = {"csv": partial(to_csv, finding.table)}  # each made on request
    if finding.chart is not None:
        files |= {"png": partial(to_file, finding.chart, "png"), "svg": partial(to_file, finding.chart, "svg")}
    with st.popover("Save", icon=":material/download:", type="tertiary", key=f"save {name}"):
        for ending, make in files.items():
            label = f"{'Table' if ending == 'csv' else 'Chart'} ({ending.upper()})"
            st.download_button(label, make, f"{name}.{ending}", MIME[ending], key=f"{ending} {name}", on_click="ignore")
    return event
