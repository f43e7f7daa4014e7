"""One row a run, for tables, filters and comparisons of a thousand runs: read again only where one of its files has changed.

In this module: RunRow, run_rows (all of a store), rows_of, matching, ORDERS and ordered, row_labels, curves_of and settings_of
(tidy frames of several rows).
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from expertnet.data.datasets import dataset_title
from expertnet.errors import RunError
from expertnet.settings.fields import flat
from expertnet.settings.schema import Settings
from expertnet.store.checks import find_damage
from expertnet.store.history import read_figures
from expertnet.store.notes import NOTES_FILE
from expertnet.store.run import Run
from expertnet.store.run_store import RunStore
from expertnet.store.status import ACTIVE_STATES, Status
from expertnet.utils.files import version_of
from expertnet.utils.text import cut

FILES = ("config.json", "status.json", "metrics.jsonl", NOTES_FILE, "best.safetensors", "last.safetensors")
FIGURES = ("val_accuracy", "val_loss", "train_accuracy", "train_loss", "seconds")
SPARK = 40  # points of the small curve of a table's row, which is a hundred pixels wide
ORDERS = ("newest", "oldest", "best validation", "best test", "name")
ID_PART = 4  # signs of an id that find it: a "4" would be in every one
LONGEST = 40  # signs of a run's title in a legend or the head of a column


@dataclass(frozen=True, eq=False)
class RunRow:
    """What tables and filters need to know of a run."""

    run: Run
    title: str
    state: str
    dataset: str  # as people call it; empty where the settings cannot be read
    preset: str
    tags: tuple[str, ...]
    note: str
    created: datetime | None
    epoch: int
    epochs: int
    best: float | None  # of val_accuracy
    test: float | None
    watches_test: bool  # then val_* is of the test set
    damage: str | None
    shipped: bool
    settings: Settings | None
    images: int  # that an epoch goes through; 0 where that is not known
    curves: dict[str, np.ndarray] = field(repr=False)  # epoch and FIGURES, a value an epoch, nan where there is none
    status: Status = field(repr=False)  # as written

    @property
    def id(self) -> str:
        return self.run.id

    @property
    def active(self) -> bool:
        return self.state in ACTIVE_STATES

    @property
    def best_validation(self) -> float | None:
        return None if self.watches_test else self.best

    @property
    def spark(self) -> list[float]:
        """Its accuracy by epoch, thinned."""
        values = np.nan_to_num(self.curves["val_accuracy"])
        if len(values) > SPARK:
            values = values[np.linspace(0, len(values) - 1, SPARK).round().astype(int)]
        return [round(value, 4) for value in values.tolist()]


_kept: dict[Path, tuple[object, RunRow]] = {}
_lock = threading.Lock()


def run_rows(store: RunStore) -> list[RunRow]:
    """A row for every run of a store, newest first. Whether a run that says it is active still lives is looked at anew."""
    runs = store.list()
    rows = rows_of(runs)
    present = {run.path for run in runs}
    with _lock:
        for path in [path for path in _kept if path.parent == store.root and path not in present]:
            del _kept[path]
    return rows


def rows_of(runs: Iterable[Run]) -> list[RunRow]:
    return [_living(_row(run)) for run in runs]


def _living(row: RunRow) -> RunRow:
    if row.state not in ACTIVE_STATES:
        return row
    return replace(row, state=row.run.as_of_now(row.status).state)


def _row(run: Run) -> RunRow:
    version = _version(run.path)
    with _lock:
        known = _kept.get(run.path)
    if known and known[0] == version:
        return known[1]
    row = _read(run)
    with _lock:
        _kept[run.path] = version, row
    return row


def _version(folder: Path) -> tuple[object, ...]:
    """Of the files that are read, and of the folder, for those that come and go."""
    versions: list[object] = []
    for path in (str(folder), *(f"{folder}/{name}" for name in FILES)):  # text: a Path takes longer than the look
        try:
            versions.append(version_of(path))
        except OSError:
            versions.append(None)
    return tuple(versions)


def _read(run: Run) -> RunRow:
    status, notes, curves = run.written_status(), run.notes(), _curves(run.path / "metrics.jsonl")
    try:
        settings = run.settings()
    except RunError:
        settings = None
    return RunRow(
        run=run,
        title=run.title,
        state=status.state,
        dataset=dataset_title(settings.data.dataset) if settings else "",
        preset=run.preset,
        tags=notes.tags,
        note=notes.note,
        created=_time(run.created),
        epoch=status.epoch,
        epochs=status.epochs,
        best=status.best_val_accuracy,
        test=status.test_accuracy,
        watches_test=bool(settings and settings.watches_test),
        damage=find_damage(run, curves["epoch"].tolist()),
        shipped=run.shipped,
        settings=settings,
        images=status.steps * settings.training.batch_size if settings else 0,
        curves=curves,
        status=status,
    )


def _curves(path: Path) -> dict[str, np.ndarray]:
    try:
        found = read_figures(path, FIGURES)
    except OSError:
        found = {}
    figures = np.array(list(found.values()), dtype=np.float64).reshape(len(found), len(FIGURES))
    return {"epoch": np.array(list(found), dtype=np.float64), **dict(zip(FIGURES, figures.T.copy(), strict=True))}


def _time(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError):
        return None


def matching(
    rows: Iterable[RunRow],
    text: str = "",
    dataset: Sequence[str] = (),
    state: Sequence[str] = (),
    preset: Sequence[str] = (),
    tag: Sequence[str] = (),
) -> list[RunRow]:
    """The rows in which every word of `text` is found, and which have one of each of the rest; empty: any."""
    words = text.casefold().split()
    wanted = {kind.casefold() for kind in tag}

    def fits(row: RunRow) -> bool:
        if words:
            told = "\n".join((row.title, row.dataset, row.preset, row.note, *row.tags)).casefold()
            if not all(word in told or (len(word) >= ID_PART and word in row.id) for word in words):
                return False
        one_of = ((dataset, row.dataset), (state, row.state), (preset, row.preset))
        if any(kinds and value not in kinds for kinds, value in one_of):
            return False
        return not wanted or any(kind.casefold() in wanted for kind in row.tags)

    return [row for row in rows if fits(row)]


def ordered(rows: Iterable[RunRow], order: str) -> list[RunRow]:
    """Rows in one of ORDERS; what an order knows nothing of comes last, newest first."""
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
    """A short name for each run by its id, no two alike; titles beyond so many signs are cut."""
    titles = {row.id: cut(row.title, longest) for row in rows}
    alike = Counter(titles.values())
    short = {run_id: title if alike[title] == 1 else f"{title} · {run_id[-4:]}" for run_id, title in titles.items()}
    count = Counter(short.values())
    return {run_id: text if count[text] == 1 else f"{titles[run_id]} · {run_id}" for run_id, text in short.items()}


def curves_of(rows: Sequence[RunRow], longest: int = LONGEST) -> pd.DataFrame:
    """The epochs of several runs: columns run (its label), best, epoch, FIGURES; images and elapsed (seconds) since the start."""
    labels, rows = row_labels(rows, longest), [row for row in rows if len(row.curves["epoch"])]
    lengths = [len(row.curves["epoch"]) for row in rows]
    joined = {key: np.concatenate([row.curves[key] for row in rows] or [np.empty(0)]) for key in ("epoch", *FIGURES)}
    columns: dict[str, Any] = {
        "run": np.repeat(np.array([labels[row.id] for row in rows], dtype=object), lengths),
        "best": np.repeat(np.array([row.best for row in rows], dtype=np.float64), lengths),
        **joined,
        "images": joined["epoch"] * np.repeat(np.array([row.images or np.nan for row in rows]), lengths),
        "elapsed": np.concatenate([np.cumsum(row.curves["seconds"]) for row in rows] or [np.empty(0)]),
    }
    return pd.DataFrame(columns)


def settings_of(rows: Sequence[RunRow]) -> pd.DataFrame:
    """A line a run (by its label), a column a setting by its dotted key; those whose settings cannot be read are left out."""
    labels = row_labels(rows)
    found = {labels[row.id]: flat(row.settings) for row in rows if row.settings}
    return pd.DataFrame.from_dict(found, orient="index")
