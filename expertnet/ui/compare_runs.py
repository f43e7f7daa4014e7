"""Several runs side by side: their curves, and the settings in which they differ.

In this module: compare_runs.
"""

from __future__ import annotations

import pandas as pd
import streamlit as st

from expertnet import charts
from expertnet.config import format_value
from expertnet.fields import flat
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
        for column, quantity, title in zip(
            st.columns(2), ("accuracy", "loss"), (f"Accuracy, {measured}", f"Loss in nats, {measured}"), strict=True
        ):
            table = curves.rename(columns={quantity: "value"})[["run", "epoch", "value"]].dropna()
            column.altair_chart(charts.overlay(table, title), width="stretch", key=quantity)
        for run in watching:
            st.caption(f"{escape(label(run))}: measured on the test set, since it has no validation pictures.")
    if len(runs) > 1:
        st.subheader("Settings that differ")
        table = pd.DataFrame(
            {label(run): {key: format_value(value) for key, value in flat(run.settings()).items()} for run in runs}
        )
        table = table[table.nunique(axis=1) > 1]
        if table.empty:
            st.write("None: these runs have the same settings.")
        else:
            st.dataframe(table.rename_axis("setting"), width="stretch", alt="Settings that differ between the runs")
