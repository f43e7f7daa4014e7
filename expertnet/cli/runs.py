"""`expertnet runs`: the runs in a folder."""

from collections.abc import Iterator, Sequence
from datetime import UTC

from expertnet.cli.options import Json, RunsDir, open_store
from expertnet.cli.output import aligned, print_result
from expertnet.store.index import run_rows
from expertnet.store.rows import RunRow
from expertnet.utils.text import counted, percent


def runs(runs_dir: RunsDir = None, as_json: Json = False) -> None:
    """List the runs, newest first."""
    found = run_rows(open_store(runs_dir))
    rows = [
        {
            "run": row.id,
            "name": row.title,
            "state": row.state,
            "epochs": row.epoch,
            "val_accuracy": row.last,
            "best_val_accuracy": row.best,
            "test_accuracy": row.test,
            "created": row.created.astimezone(UTC).isoformat() if row.created else None,
            "dataset": row.data_name or None,
        }
        for row in found
    ]
    print_result(as_json, rows, _table(found))


def _table(found: Sequence[RunRow]) -> Iterator[str]:
    """Yield the runs as lines of a table, with the best accuracy of each and what it was measured on."""
    if not found:
        yield "No runs yet. Start one with 'expertnet train'."
        return
    rows = [("run", "state", "epochs", "best accuracy", "dataset", "name")]
    for row in found:
        watched = "test" if row.watches_test else "validation"
        accuracy = f"{percent(row.best, 2):>8} {watched}" if row.best is not None else ""
        rows.append((row.id, row.state, counted(row.epoch, "epoch"), accuracy, row.dataset, row.title))
    yield from aligned(rows)
