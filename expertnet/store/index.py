"""One row per run, for tables, filters and comparisons of a thousand runs. A run is read again only when a file of it changes."""

from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from expertnet.data.datasets import dataset_title
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
SPARK = 40  # points of the small curve in a table, which is a hundred pixels wide
ORDERS = ("newest", "oldest", "best validation", "best test", "name")
MIN_ID_PART = 4  # characters of an id that a search needs, because every id contains most single digits
LONGEST = 40  # characters of a title in a legend or a column header


@dataclass(frozen=True, eq=False)
class RunRow:
    """The values of a run that tables and filters show."""

    run: Run
    title: str
    state: str
    dataset: str  # title; "" if the settings cannot be read
    preset: str
    tags: tuple[str, ...]
    note: str
    created: datetime | None
    epoch: int
    epochs: int
    best: float | None  # highest val_accuracy, a fraction
    test: float | None
    watches_test: bool  # val_* is measured on the test set
    damage: str | None
    shipped: bool
    settings: Settings | None
    images: int  # per epoch; 0 if unknown
    curves: dict[str, np.ndarray] = field(repr=False)  # epoch and FIGURES: a value per epoch, NaN if missing
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
        """Return at most SPARK values of the accuracy by epoch."""
        values = np.nan_to_num(self.curves["val_accuracy"])
        if len(values) > SPARK:
            values = values[np.linspace(0, len(values) - 1, SPARK).round().astype(int)]
        return [round(value, 4) for value in values.tolist()]


_cached: dict[Path, tuple[object, RunRow]] = {}


def run_rows(store: RunStore) -> list[RunRow]:
    """Return a row for every run of a store, newest first."""
    rows = rows_of(store.list())
    present = {row.run.path for row in rows}
    for path in list(_cached):  # threads may forget the same run
        if path.parent == store.root and path not in present:
            _cached.pop(path, None)
    return rows


def rows_of(runs: Iterable[Run]) -> list[RunRow]:
    """Return a row for each run. Whether an active run is still alive is checked every time."""
    rows = map(_row, runs)
    return [replace(row, state=row.run.as_of_now(row.status).state) if row.active else row for row in rows]


def _row(run: Run) -> RunRow:
    version, known = _version(run.path), _cached.get(run.path)
    if known and known[0] == version:
        return known[1]
    row = _read_row(run)
    _cached[run.path] = version, row
    return row


def _version(folder: Path) -> tuple[object, ...]:
    """Return the versions of the files, and of the folder, which changes when files appear or disappear."""
    versions: list[object] = []
    for path in (str(folder), *(f"{folder}/{name}" for name in FILES)):  # a Path would take longer than the system call
        try:
            versions.append(version_of(path))
        except OSError:
            versions.append(None)
    return tuple(versions)


def _read_row(run: Run) -> RunRow:
    status, notes, curves = run.written_status(), run.notes(), _curves(run.path / "metrics.jsonl")
    settings = run.settings() if run.has_settings else None
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
    found: dict[int, list[float]] = {}
    with suppress(OSError):
        found = read_figures(path, FIGURES)
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
    """Return the rows that contain every word of `text` and have one of the values of each other argument. Empty means any."""
    words, wanted = text.casefold().split(), {kind.casefold() for kind in tag}

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
    """Return a row per run (by label) and a column per setting (by dotted key), without runs whose settings cannot be read."""
    labels = row_labels(rows)
    found = {labels[row.id]: flat(row.settings) for row in rows if row.settings}
    return pd.DataFrame.from_dict(found, orient="index")
