"""A run as one zip file, to go elsewhere: safetensors, JSON and text, and nothing that could run.

In this module: export_run, export_runs (several in a zip of theirs), export_size. resume.pt is left out: it is a pickle, so an
imported run cannot go on.
"""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from expertnet.errors import RunError
from expertnet.store.notes import FILE as NOTES
from expertnet.store.run import Run, now
from expertnet.transfer.validation import MANIFEST, MAX_UNPACKED, TEXTS, WEIGHTS_NAME, clean_config, clean_status
from expertnet.utils.files import to_json

_PIECE = 2**20  # bytes copied at a time


def export_size(run: Run) -> int:
    """Bytes of its weights. Raises RunError where they are too many."""
    size = sum(path.stat().st_size for path in _weights(run))
    if size > MAX_UNPACKED - sum(TEXTS.values()):
        raise RunError(
            f"Run {run.name} has more than {MAX_UNPACKED >> 30} GiB of weights, which no import takes; "
            f"move files epoch-*.safetensors out of {run.path} and export it then."
        )
    return size


def _weights(run: Run) -> list[Path]:
    return [path for path in sorted(run.path.glob("*.safetensors")) if WEIGHTS_NAME.fullmatch(path.name)]


def export_run(run: Run, file: IO[bytes]) -> None:
    """Writes the run's zip into a file. Of what is no longer sound, or too large, it raises RunError."""
    export_size(run)
    why_not = run.damage()
    if why_not:
        raise RunError(why_not)
    try:
        status = clean_status(
            run.status().model_dump()
        )  # before the metrics, which may be an epoch ahead, but not behind
        config, _, _ = clean_config(run.config())
    except RunError as error:
        raise RunError(f"Run {run.name} cannot be exported: {error}") from None
    texts = {
        MANIFEST: to_json({"run": run.id, "exported": now()}).encode(),
        "config.json": json.dumps(config, indent=2).encode(),
        "status.json": to_json(status.model_dump()).encode(),
        "metrics.jsonl": "".join(to_json(line) + "\n" for line in run.metrics()).encode(),
        "log.txt": run.log_tail(10_000).encode(),
    }
    for name in (NOTES, "card.md"):
        path = run.path / name
        if path.is_file():
            texts[name] = path.read_bytes()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in texts.items():
            if len(content) > TEXTS[name]:
                raise RunError(f"The {name} of run {run.name} is larger than the {TEXTS[name]:,} bytes of an export.")
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
        for path in _weights(run):
            with path.open("rb") as source, archive.open(zipfile.ZipInfo(path.name), "w") as target:
                shutil.copyfileobj(source, target, _PIECE)


def export_runs(runs: Sequence[Run], file: IO[bytes]) -> None:
    """Writes a zip that holds the zip of each run."""
    with zipfile.ZipFile(file, "w") as archive:
        for run in runs:
            with archive.open(zipfile.ZipInfo(f"run-{run.id}.zip"), "w", force_zip64=True) as target:
                export_run(run, target)
