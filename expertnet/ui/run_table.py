"""All runs as a table to choose from.

In this module: run_table, which returns the chosen runs, and label, a run's name in a comparison.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pandas as pd
import streamlit as st

from expertnet.runs import Run
from expertnet.ui.shell import percent

MARKS = {  # sign and word: a table's cells have no icons
    "queued": "◷ queued",
    "running": "▶ training",
    "stopping": "… stopping",
    "finished": "✓ finished",
    "stopped": "■ stopped",
    "failed": "✗ failed",
    "interrupted": "! interrupted",
}


def label(run: Run) -> str:
    return f"{run.title} · {run.id[-4:]}"


def _row(run: Run) -> dict[str, Any]:
    status = run.status()
    best = status["best_val_accuracy"]
    return {
        "Run": run.title if run.damage() is None else f"{run.title} (damaged)",
        "State": MARKS.get(status["state"], status["state"]),
        "Data set": run.dataset or None,
        "Epochs": f"{status['epoch']} of {status['epochs']}" if status["epochs"] else None,
        "Accuracy": [line.get("val_accuracy") or 0.0 for line in run.metrics()],
        "Best": None if best is None or run.watches_test else percent(best),
        "Test": percent(status["test_accuracy"]) if status["test_accuracy"] is not None else None,
        "Watched": "test set" if run.watches_test else "validation",
        "When": _time(run.created),
    }


def _time(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def run_table(runs: list[Run]) -> list[Run]:
    event = st.dataframe(
        pd.DataFrame([_row(run) for run in runs]),
        hide_index=True,
        width="stretch",
        placeholder="–",
        on_select="rerun",
        selection_mode="multi-row",
        key=f"table {hash(tuple(run.id for run in runs))}",  # ticks are row numbers: other rows, other ticks
        alt="The runs with their state, data set, epochs and accuracy",
        column_config={
            "Run": st.column_config.TextColumn(width="medium"),
            "State": st.column_config.TextColumn(width=115),  # pixels: the longest, interrupted
            "Accuracy": st.column_config.LineChartColumn("Accuracy by epoch", y_min=0, y_max=1),
            "Best": st.column_config.TextColumn(
                "Best validation", help="The best epoch's, on the validation pictures."
            ),
            "Test": st.column_config.TextColumn(
                "Test", help="On the test set: measured once, at the end, where the watched set is validation."
            ),
            "Watched": st.column_config.TextColumn(
                "Watched", help="The pictures that the accuracy by epoch is measured on."
            ),
            "When": st.column_config.DatetimeColumn(format="distance"),
        },
    )
    return [runs[index] for index in event["selection"]["rows"] if index < len(runs)]
