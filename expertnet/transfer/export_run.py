"""Export runs as zips of safetensors, JSON and text.

resume.pt is left out because it is a pickle, so imported runs cannot be resumed.
"""

import json
import re
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from expertnet.errors import RunError
from expertnet.store.checks import find_damage
from expertnet.store.notes import NOTES_FILE
from expertnet.store.run import CONTROLS, Run, now
from expertnet.transfer.format import MANIFEST, MAX_UNPACKED, PIECE, TEXTS, WEIGHTS_NAME, limit_of
from expertnet.transfer.paths import without_paths
from expertnet.transfer.validation import clean_config, clean_status
from expertnet.utils.files import to_json

DATED = re.compile(r"\d{4}-\d\d-\d\dT\S+ ")


def export_size(run: Run) -> int:
    """Return the bytes of a run's weights. Raises RunError if they cannot be read or are too large to import."""
    size = 0
    for path in _weights(run):
        with _reading(path):
            size += path.stat().st_size
    if size > MAX_UNPACKED - sum(TEXTS.values()):
        raise RunError(
            f"Run {run.name} has more than {MAX_UNPACKED >> 30} GiB of weights, which is too large to import. "
            f"Move some of its epoch-*.safetensors files out of {run.path}, then export it."
        )
    return size


def _weights(run: Run) -> list[Path]:
    return [path for path in sorted(run.path.glob("*.safetensors")) if WEIGHTS_NAME.fullmatch(path.name)]


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Say which file of a run cannot be read. An OSError of an export is then one of its output."""
    try:
        yield
    except OSError as error:
        raise RunError(
            f"{path} cannot be read ({error.strerror}). Check the file and its permissions, then export the run again."
        ) from None


def _pieces(path: Path) -> Iterator[bytes]:
    with _reading(path), path.open("rb") as source:
        while piece := source.read(PIECE):
            yield piece


def export_run(run: Run, file: IO[bytes]) -> None:
    """Write the zip of a run. Raises RunError if the run cannot be read, is damaged or too large, or the OSError of `file`."""
    export_size(run)
    damage = find_damage(run)
    if damage:
        raise RunError(damage)
    try:
        # Read before the history, which may then be ahead of it but not behind.
        texts = _facts(run)
        for control in filter(_has_finished, run.controls()):
            texts |= {f"{CONTROLS}/{control.id}/{name}": content for name, content in _facts(control).items()}
    except RunError as error:
        raise RunError(f"Run {run.name} cannot be exported: {error}") from None
    texts |= {
        MANIFEST: to_json({"run": run.id, "exported": now()}).encode(),
        "metrics.jsonl": "".join(to_json(line) + "\n" for line in run.metrics()).encode(),
        "log.txt": _portable_log(run).encode(),
    }
    kept = (run.path / name for name in (NOTES_FILE, "card.md"))
    texts |= {path.name: b"".join(_pieces(path)) for path in kept if path.is_file()}
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in texts.items():
            if len(content) > limit_of(name):
                raise RunError(
                    f"Run {run.name} cannot be exported: its {name} is larger than the {limit_of(name):,} bytes allowed."
                )
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
        for path in _weights(run):
            with archive.open(zipfile.ZipInfo(path.name), "w") as target:
                for piece in _pieces(path):
                    target.write(piece)


def _has_finished(control: Run) -> bool:
    status = control.status()
    return status.state == "finished" and status.test_accuracy is not None


def _facts(run: Run) -> dict[str, bytes]:
    """Return what config.json and status.json say that may be exported. Raises RunError."""
    status, (config, _, _) = clean_status(run.status().model_dump()), clean_config(run.config())
    status = status.changed(error=status.error and without_paths(status.error, run))
    return {"config.json": json.dumps(config, indent=2).encode(), "status.json": to_json(status.model_dump()).encode()}


def _portable_log(run: Run) -> str:
    """Return the log without tracebacks, whose lines have no date, and without paths."""
    return without_paths("\n".join(line for line in run.log_tail(10_000).splitlines() if DATED.match(line)), run)


def export_runs(runs: Sequence[Run], file: IO[bytes]) -> None:
    """Write a zip that contains the zip of each run. Raises RunError as `export_run` does."""
    with zipfile.ZipFile(file, "w") as archive:
        for run in runs:
            with archive.open(zipfile.ZipInfo(f"run-{run.id}.zip"), "w", force_zip64=True) as target:
                export_run(run, target)
