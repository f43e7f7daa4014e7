"""Tables of compared runs: their curves and their settings."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from expertnet.settings.fields import flat
from expertnet.store.index import LONGEST, row_labels
from expertnet.store.rows import FIGURES, RunRow


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
