"""The row of a run: what tables and filters show of it."""

import hashlib
from contextlib import suppress
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from expertnet.data.datasets import dataset_title
from expertnet.settings.schema import Settings
from expertnet.store.checks import find_damage, has_network, network_shape
from expertnet.store.history import read_figures
from expertnet.store.notes import NOTES_FILE
from expertnet.store.run import Run
from expertnet.store.status import ACTIVE_STATES, Status
from expertnet.utils.files import cached_on_file

FILES = ("config.json", "status.json", "metrics.jsonl", NOTES_FILE, "best.safetensors", "last.safetensors")
FIGURES = ("val_accuracy", "val_loss", "train_accuracy", "train_loss", "seconds")
SPARK = 40  # points of the small curve in a table, which is a hundred pixels wide


@dataclass(frozen=True, eq=False, slots=True, weakref_slot=True)
class RunRow:
    """The values of a run that tables and filters show. What few pages need is read from its files when it is asked for."""

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
    images: int  # per epoch; 0 if unknown
    spark: tuple[float, ...]  # at most SPARK values of the accuracy by epoch
    key: str  # settings_key() of its settings; "" if they cannot be read
    network: (
        str  # equal for trained networks with the same classes, routed blocks and experts; "" without a trained one
    )

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
    def settings(self) -> Settings | None:
        return self.run.settings() if self.run.has_settings else None

    @property
    def status(self) -> Status:
        """The status as written."""
        return self.run.written_status()

    @property
    def curves(self) -> dict[str, np.ndarray]:
        """Epoch and FIGURES: a value per epoch, NaN if missing."""
        return _curves(self.run.path / "metrics.jsonl")


def read_row(run: Run) -> RunRow:
    """Return the row of a run as its files say."""
    status, notes = run.written_status(), run.notes()
    settings = run.settings() if run.has_settings else None
    curves = _read_curves(run.path / "metrics.jsonl")
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
        images=status.steps * settings.training.batch_size if settings else 0,
        spark=_spark(curves["val_accuracy"]),
        key=settings_key(settings) if settings else "",
        network=_network(run),
    )


def settings_key(settings: Settings) -> str:
    """Return a text that is equal for equal settings, to find their runs among many."""
    return hashlib.sha256(settings.model_dump_json().encode()).hexdigest()[:32]


def _network(run: Run) -> str:
    shape = network_shape(run) if has_network(run) else None
    return hashlib.sha256(repr(shape).encode()).hexdigest()[:32] if shape else ""


def _spark(accuracies: np.ndarray) -> tuple[float, ...]:
    values = np.nan_to_num(accuracies)
    if len(values) > SPARK:
        values = values[np.linspace(0, len(values) - 1, SPARK).round().astype(int)]
    return tuple(round(value, 4) for value in values.tolist())


def to_entry(row: RunRow) -> dict[str, Any]:
    """Return a row as JSON."""
    values = {field.name: getattr(row, field.name) for field in fields(row) if field.name != "run"}
    return values | {"created": row.created and row.created.isoformat()}


def from_entry(run: Run, values: dict[str, Any]) -> RunRow | None:
    """Return the row of an entry; None if it is not one."""
    try:
        lists = {name: tuple(values[name]) for name in ("tags", "spark")}
        return RunRow(run, **values | lists | {"created": _time(values["created"] or "")})
    except (TypeError, KeyError):
        return None


def _curves(path: Path) -> dict[str, np.ndarray]:
    try:
        return _cached_curves(path)
    except OSError:
        return _read_curves(path)


@cached_on_file(maxsize=512)
def _cached_curves(path: Path) -> dict[str, np.ndarray]:
    return _read_curves(path)


def _read_curves(path: Path) -> dict[str, np.ndarray]:
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
