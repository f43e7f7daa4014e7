"""`expertnet runs`: the runs of a store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from expertnet.cli.options import Json, RunsDir, open_store
from expertnet.cli.output import give
from expertnet.utils.text import counted, percent


def runs(runs_dir: RunsDir = None, as_json: Json = False) -> None:
    """List the runs, newest first."""
    rows, found = [], open_store(runs_dir).list()
    for run in found:
        status, metrics, info = run.status(), run.metrics(), run.dataset_info()
        rows.append(
            {
                "run": run.id,
                "name": run.title,
                "state": status.state,
                "epochs": status.epoch,
                "val_accuracy": metrics[-1].get("val_accuracy") if metrics else None,
                "best_val_accuracy": status.best_val_accuracy,
                "test_accuracy": status.test_accuracy,
                "created": run.created or None,
                "dataset": info.name if info else None,
            }
        )
    give(as_json, rows, lambda: run_lines(found))


def run_lines(runs: Sequence[Any]) -> list[str]:
    """The runs as a table for a person, with the best accuracy of each as the Runs page has it, and what it was measured on."""
    if not runs:
        return ["No runs yet; 'python -m expertnet train' makes one."]
    rows = [("run", "state", "epochs", "best accuracy", "dataset", "name")]
    for run in runs:
        status, watched = run.status(), "test" if run.watches_test else "validation"
        best = status.best_val_accuracy
        accuracy = f"{percent(best, 2):>8} {watched}" if best is not None else ""
        rows.append((run.id, status.state, counted(status.epoch, "epoch"), accuracy, run.dataset, run.title))
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    return ["  ".join([*(text.ljust(width) for text, width in zip(row, widths, strict=False)), row[5]]) for row in rows]
