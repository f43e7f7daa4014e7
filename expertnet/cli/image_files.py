"""Answers for image files, one after the other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer

from expertnet.cli.options import CheckpointKind
from expertnet.cli.output import give, say
from expertnet.data.images import MAX_BYTES, fit, read_image
from expertnet.errors import ImageError
from expertnet.store.run import Run


def for_each_file(
    run: Run,
    files: list[Path],
    checkpoint: CheckpointKind,
    as_json: bool,
    answer: Callable[[Any, Any], dict[str, Any]],
    line: Callable[[dict[str, Any]], str],
) -> None:
    """Reads, answers and prints file by file; a bad file gets its sentence and the rest is done."""
    from expertnet.inference.predictor import load_predictor

    predictor = load_predictor(run, checkpoint.value)
    rows: list[dict[str, Any]] = []
    for path in files:
        try:
            rows.append(
                {
                    "file": str(path),
                    **answer(predictor, fit(read_image(_read_bytes(path)), predictor.image_size)[None]),
                }
            )
        except ImageError as error:
            rows.append({"file": str(path), "error": str(error)})
            if not as_json:
                say(f"{path}: {error}")
    give(as_json, rows, lambda: [f"{row['file']}: {line(row)}" for row in rows if "error" not in row])
    failed = sum("error" in row for row in rows)
    if failed:
        raise typer.Exit(2 if failed == len(rows) else 1)


def _read_bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)  # one more than allowed, which read_image refuses
    except OSError as error:
        raise ImageError(f"The file cannot be read ({error.strerror}); check its path.") from None
