"""Several runs side by side: their curves, and the settings in which they differ.

In this module: compare_runs.
"""

from __future__ import annotations

import pandas as pd
import streamlit as st

from expertnet.config import format_value
from expertnet.curves import overlay
from expertnet.fields import flat, setting_fields
from expertnet.runs import Run
from expertnet.ui.run_table import label
from expertnet.ui.shell import escape


def compare_runs(runs: list[Run]) -> None:
    """Overlaid curves of one run or more, and a table of what differs between them."""
    curves = pd.DataFrame(
        [
            {
                "run": label(run),
                "epoch": line["epoch"],
                "accuracy": line.get("val_accuracy"),
                "loss": line.get("val_loss"),
            }
            for run in runs
            for line in run.metrics()
        ]
    )
    watching = [run for run in runs if run.watches_test]
    if not curves.empty:
        measured = (
            "validation" if not watching else "test set" if len(watching) == len(runs) else "validation or test set"
        )
        with st.grid(2, min_column_width=420):
            for quantity, title in (("accuracy", f"Accuracy, {measured}"), ("loss", f"Loss in nats, {measured}")):
                table = curves.rename(columns={quantity: "value"})[["run", "epoch", "value"]].dropna()
                st.altair_chart(overlay(table, title), width="stretch", key=quantity)
        for run in watching:
            st.caption(f"{escape(label(run))}: measured on the test set, since it has no validation pictures.")
    if len(runs) > 1:
        st.subheader("Settings that differ")
        names = {field.key: field.label for field in setting_fields()}
        table = pd.DataFrame(
            {label(run): {names[key]: format_value(v) for key, v in flat(run.settings()).items()} for run in runs}
        )
        table = table[table.nunique(axis=1) > 1]
        if table.empty:
            st.write("None: these runs have the same settings.")
        else:
            st.dataframe(table.rename_axis("Setting"), width="stretch", alt="Settings that differ between the runs")
