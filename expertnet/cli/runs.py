"""`expertnet runs`: the runs in a folder."""

from collections.abc import Iterator, Sequence

from expertnet.cli.options import Json, RunsDir, open_store
from expertnet.cli.output import aligned, print_result
from expertnet.store.run import Run
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
                "val_accuracy": metrics[-1]["val_accuracy"] if metrics else None,
                "best_val_accuracy": status.best_val_accuracy,
                "test_accuracy": status.test_accuracy,
                "created": run.created or None,
                "dataset": info.name if info else None,
            }
        )
    print_result(as_json, rows, _table(found))


def _table(runs: Sequence[Run]) -> Iterator[str]:
    """Yield the runs as lines of a table, with the best accuracy of each and what it was measured on."""
    if not runs:
        yield "No runs yet. Start one with 'expertnet train'."
        return
    rows = [("run", "state", "epochs", "best accuracy", "dataset", "name")]
    for run in runs:
        status, watched = run.status(), "test" if run.watches_test else "validation"
        best = status.best_val_accuracy
        accuracy = f"{percent(best, 2):>8} {watched}" if best is not None else ""
        rows.append((run.id, status.state, counted(status.epoch, "epoch"), accuracy, run.dataset, run.title))
    yield from aligned(rows)
