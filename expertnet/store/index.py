"""One row per run, for tables, filters and comparisons of thousands of runs. A run is read again only when a file of it changes."""

import os
import threading
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from expertnet.settings.fields import flat
from expertnet.store.index_file import Entry, load_index, save_index
from expertnet.store.rows import FIGURES, FILES, RunRow, from_entry, read_row, to_entry
from expertnet.store.run import Run
from expertnet.store.run_store import RunStore
from expertnet.utils.files import version_of
from expertnet.utils.text import cut

CHECKED = 500  # runs whose files are all looked at each time
SETTLED = 2.0  # seconds after which a change of a folder has another time than the next one
ORDERS = ("newest", "oldest", "best validation", "best test", "name")
MIN_ID_PART = 4  # characters of an id that a search needs, because every id contains most single digits
LONGEST = 40  # characters of a title in a legend or a column header


class _Known(NamedTuple):
    folder: tuple[int, ...]  # version of the run's folder, which changes when a file appears, disappears or is replaced
    version: str  # of the files, too
    row: RunRow


_known: dict[Path, _Known] = {}  # by the run's folder
_turns: dict[Path, int] = {}  # by store: where the next full check begins
_lock = threading.Lock()  # so that only one thread reads the runs of a store


def run_rows(store: RunStore) -> list[RunRow]:
    """Return a row for every run of a store, newest first.

    Of many runs, the folders tell which ones have changed: all that the program writes replaces files. CHECKED of them are
    checked file by file each time, in turn, because an editor may write into a file.
    """
    with _lock:
        runs, root = store.list(), store.root
        entries = {} if root in _turns else load_index(root)
        turn = _turns.get(root, 0)
        checked = runs if root not in _turns or len(runs) <= CHECKED else [*runs, *runs][turn : turn + CHECKED]
        _turns[root] = (turn + CHECKED) % max(len(runs), 1)
        all_of_it, found, changed = {run.path for run in checked}, [], {}
        for run in runs:
            known = _known.get(run.path)
            if known is None or run.path in all_of_it or known.row.active or _folder(run.path) != known.folder:
                row, is_new = _row(run, entries.get(run.id))
                if is_new and not row.active:
                    changed[run.id] = _known[run.path].version, to_entry(row)
            else:
                row = known.row
            found.append(row)
        present = {run.path for run in runs}
        gone = [path for path in list(_known) if path.parent == root and path not in present]
        for path in gone:
            _known.pop(path, None)
        lost = [path.name for path in gone] + [run_id for run_id in entries if root / run_id not in present]
        if changed or lost:
            save_index(root, changed, lost)
    return _as_of_now(found)


def forget_rows() -> None:
    """Forget what was read, as a new process would."""
    with _lock:
        _known.clear()
        _turns.clear()


def rows_of(runs: Iterable[Run]) -> list[RunRow]:
    """Return a row for each run. Whether an active run is still alive is checked every time."""
    return _as_of_now([_row(run)[0] for run in runs])


def _as_of_now(rows: list[RunRow]) -> list[RunRow]:
    return [replace(row, state=row.run.status().state) if row.active else row for row in rows]


def _row(run: Run, entry: Entry | None = None) -> tuple[RunRow, bool]:
    """Return the row of a run, and whether its files were read for it."""
    folder, version, known = _folder(run.path), _version(run.path), _known.get(run.path)
    if known and known.version == version:
        if known.folder != folder:
            _known[run.path] = known._replace(folder=folder)
        return known.row, False
    row = from_entry(run, entry[1]) if entry and entry[0] == version else None
    is_new = row is None
    row = row or read_row(run)
    _known[run.path] = _Known(folder, version, row)
    return row, is_new


def _folder(path: Path) -> tuple[int, ...]:
    """Return the version of a folder. One that changed a moment ago may do so again at the same time of a coarse clock."""
    try:
        status = os.stat(path)
    except OSError:
        return ()
    settled = time.time() - status.st_mtime > SETTLED
    return (status.st_mtime_ns, status.st_ino) if settled else (time.monotonic_ns(),)


def _version(folder: Path) -> str:
    """Return the versions of the files and of the folder."""
    versions: list[object] = []
    for path in (str(folder), *(f"{folder}/{name}" for name in FILES)):  # a Path would take longer than the system call
        try:
            versions.append(version_of(path))
        except OSError:
            versions.append(None)
    return repr(versions)


def matching(
    rows: Iterable[RunRow],
    text: str = "",
    dataset: Sequence[str] = (),
    state: Sequence[str] = (),
    preset: Sequence[str] = (),
    tag: Sequence[str] = (),
) -> list[RunRow]:
    """Return the rows that contain every word of `text` and have one of the values of each other argument. Empty means any."""
    words, wanted = text.casefold().split(), {kind.casefold() for kind in tag}
    if not (words or dataset or state or preset or tag):
        return list(rows)

    def fits(row: RunRow) -> bool:
        searched = "\n".join((row.title, row.dataset, row.preset, row.note, *row.tags)).casefold()
        one_of = ((dataset, row.dataset), (state, row.state), (preset, row.preset))
        return (
            all(word in searched or (len(word) >= MIN_ID_PART and word in row.id) for word in words)
            and all(not kinds or value in kinds for kinds, value in one_of)
            and (not wanted or any(kind.casefold() in wanted for kind in row.tags))
        )

    return [row for row in rows if fits(row)]


def ordered(rows: Iterable[RunRow], order: str) -> list[RunRow]:
    """Return the rows in one of ORDERS. Rows without a value for it come last, newest first."""
    newest = sorted(rows, key=lambda row: row.id, reverse=True)
    if order == "oldest":
        return newest[::-1]
    if order == "name":
        return sorted(newest, key=lambda row: row.title.casefold())
    if order.startswith("best"):
        figure = (lambda row: row.test) if order == "best test" else (lambda row: row.best_validation)
        return sorted(newest, key=lambda row: -1.0 if figure(row) is None else figure(row), reverse=True)
    return newest


def row_labels(rows: Sequence[RunRow], longest: int = LONGEST) -> dict[str, str]:
    """Return a unique label for each run, by id: its title, cut to `longest` characters, with part of the id if needed."""
    titles = {row.id: cut(row.title, longest) for row in rows}
    alike = Counter(titles.values())
    short = {run_id: title if alike[title] == 1 else f"{title} · {run_id[-4:]}" for run_id, title in titles.items()}
    count = Counter(short.values())
    return {run_id: text if count[text] == 1 else f"{titles[run_id]} · {run_id}" for run_id, text in short.items()}


def curves_of(rows: Sequence[RunRow], longest: int = LONGEST) -> pd.DataFrame:
    """Return the epochs of runs: columns run (label), best, epoch, FIGURES, and images and elapsed (seconds) since the start."""
    labels, found = row_labels(rows, longest), [(row, curves) for row in rows if len((curves := row.curves)["epoch"])]
    rows, lengths = [row for row, _ in found], [len(curves["epoch"]) for _, curves in found]
    joined = {key: np.concatenate([curves[key] for _, curves in found] or [np.empty(0)]) for key in ("epoch", *FIGURES)}
    columns: dict[str, Any] = {
        "run": np.repeat(np.array([labels[row.id] for row in rows], dtype=object), lengths),
        "best": np.repeat(np.array([row.best for row in rows], dtype=np.float64), lengths),
        **joined,
        "images": joined["epoch"] * np.repeat(np.array([row.images or np.nan for row in rows]), lengths),
        "elapsed": np.concatenate([np.cumsum(curves["seconds"]) for _, curves in found] or [np.empty(0)]),
    }
    return pd.DataFrame(columns)


def settings_of(rows: Sequence[RunRow]) -> pd.DataFrame:
    """Return a row per run (by label) and a column per setting (by dotted key), without runs whose settings cannot be read."""
    labels = row_labels(rows)
    found = {labels[row.id]: flat(settings) for row in rows if (settings := row.settings)}
    return pd.DataFrame.from_dict(found, orient="index")
