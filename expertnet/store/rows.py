"""The row of a run: what tables and filters show of it."""

import hashlib
import math
import re
from collections.abc import Sequence
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
    last: float | None  # val_accuracy of the last epoch, a fraction
    best: float | None  # the highest one
    test: float | None
    watches_test: bool  # val_* is measured on the test set
    damage: str | None
    shipped: bool
    images: int  # drawn per epoch; 0 if unknown
    spark: tuple[float, ...]  # at most SPARK values of the accuracy by epoch
    key: str  # settings_key() of its settings; "" if they cannot be read
    network: (
        str  # equal for trained networks with the same classes, routed blocks and experts; "" without a trained one
    )
    data_name: str  # of the images once they were loaded; "" before
    images_kind: str  # equal for runs with the same classes and image size, whose images can be compared; "" if unknown

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
    curves, info = _read_curves(run.path / "metrics.jsonl"), run.dataset_info()
    accuracies = curves["val_accuracy"]
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
        last=float(accuracies[-1]) if len(accuracies) and not math.isnan(accuracies[-1]) else None,
        best=status.best_val_accuracy,
        test=status.test_accuracy,
        watches_test=bool(settings and settings.watches_test),
        damage=find_damage(run, curves["epoch"].tolist()),
        shipped=run.shipped,
        images=status.epoch_images or (status.steps * settings.training.batch_size if settings else 0),
        spark=_spark(accuracies),
        key=settings_key(settings) if settings else "",
        network=_digest(network_shape(run)) if has_network(run) else "",
        data_name=info.name if info else "",
        images_kind=_digest((info.classes, info.image_size)) if info else "",
    )


def settings_key(settings: Settings) -> str:
    """Return a text that is equal for equal settings, to find their runs among many.

    Of a path, only the last part counts: older versions kept relative ones, and who looks for a run compares the images themselves.
    """
    name = re.split(r"[/\\]", settings.data.dataset.rstrip("/\\"))[-1]
    data = settings.data.model_copy(update={"dataset": name})
    return _digest(settings.model_copy(update={"data": data}).model_dump_json())


def _digest(value: object) -> str:
    return hashlib.sha256(repr(value).encode()).hexdigest()[:32]


def _spark(accuracies: np.ndarray) -> tuple[float, ...]:
    values = np.nan_to_num(accuracies)
    if len(values) > SPARK:
        values = values[np.linspace(0, len(values) - 1, SPARK).round().astype(int)]
    return tuple(round(value, 4) for value in values.tolist())


COLUMNS = tuple(field.name for field in fields(RunRow) if field.name != "run")  # of a database
LARGEST = 2**63 - 1  # whole number there


def to_values(row: RunRow) -> list[Any]:
    """Return a row as values of COLUMNS."""
    values: dict[str, Any] = {name: getattr(row, name) for name in COLUMNS}
    values |= {"tags": "\n".join(row.tags), "spark": " ".join(map(str, row.spark)), "images": min(row.images, LARGEST)}
    values["created"] = row.created and row.created.isoformat()
    return list(values.values())


def from_values(run: Run, values: Sequence[Any]) -> RunRow | None:
    """Return the row of a run from values of COLUMNS; None if they are not ones."""
    row = dict(zip(COLUMNS, values, strict=True))
    try:
        row["tags"] = tuple(filter(None, row["tags"].split("\n")))
        row["spark"] = tuple(map(float, row["spark"].split()))
        row["created"] = _time(row["created"] or "")
    except (AttributeError, TypeError, ValueError):
        return None
    return RunRow(run, **row | {name: bool(row[name]) for name in ("watches_test", "shipped")})


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
