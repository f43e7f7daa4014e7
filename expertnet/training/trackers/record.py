"""What a tracker has of a run, in mlflow.json or wandb.json of its folder."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from expertnet.store.history import HistoryRow
from expertnet.utils.files import read_json, to_json, write_atomically

TITLES = {"mlflow": "MLflow", "wandb": "Weights & Biases"}  # by the names of their settings and packages
NAMES = {  # key of metrics.jsonl: name in the tracker, which groups names by what precedes the slash
    "train_loss": "loss/train",
    "val_loss": "loss/validation",
    "train_accuracy": "accuracy/train",
    "val_accuracy": "accuracy/validation",
    "lr": "training/learning rate",
    "images_per_second": "training/images per second",
}


def named_figures(row: HistoryRow, watches_test: bool) -> dict[str, float]:
    """Return the figures of an epoch by their names in a tracker, without unknown ones."""
    figures: Mapping[str, Any] = row
    named = {_name(key, watches_test): figures.get(key) for key in NAMES}
    named |= {f"routing entropy/block {n}": value for n, value in enumerate(row.get("routing_entropy") or [], 1)}
    return {name: value for name, value in named.items() if value is not None}


def _name(key: str, watches_test: bool) -> str:
    return NAMES[key].replace("validation", "test set") if watches_test else NAMES[key]


@dataclass(frozen=True)
class Tracked:
    """How far a run is in a tracker."""

    id: str = ""  # of the run there
    url: str = ""  # of its page; "" for a tracker on this computer
    command: str = ""  # what shows or uploads it, for a tracker on this computer
    epoch: int = 0  # the last one sent
    step: float = 0.0  # the last point within the epochs sent, in epochs
    ended: bool = False  # the run has ended, and all of it was sent
    error: str = ""  # why the last attempt failed


def without_password(text: str) -> str:
    """Return text without the names and passwords in addresses such as http://me:secret@host, and in their parameters."""
    text = re.sub(r"//(?:[^/:@\s]*:\S*|[^/@\s]*)@", "//", text)  # a password may contain / and @
    return re.sub(r"(?i)([?&;](?:password|passwd|pwd|token|access_key|secret)=)[^&;\s'\"]*", r"\1***", text)


def write_tracked(folder: Path, tracker: str, tracked: Tracked) -> None:
    write_atomically(folder / f"{tracker}.json", to_json(asdict(tracked)).encode())


def read_tracked(folder: Path, tracker: str) -> Tracked | None:
    """Return how far a run is in a tracker; None if nothing was sent, or the file is damaged."""
    try:
        found = read_json(folder / f"{tracker}.json")
    except (OSError, ValueError):
        return None
    values = {field.name: found.get(field.name, field.default) for field in fields(Tracked)}
    fits = all(isinstance(values[field.name], (type(field.default), int)) for field in fields(Tracked))
    return Tracked(**values) if fits else None
