"""Classifies image files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from expertnet.cli.options import CheckpointKind
from expertnet.cli.output import give, say
from expertnet.data.images import MAX_BYTES, load_image
from expertnet.errors import ImageError
from expertnet.store.run import Run

if TYPE_CHECKING:
    from expertnet.inference.predictor import Classification


def for_each_file(
    run: Run,
    files: list[Path],
    checkpoint: CheckpointKind,
    as_json: bool,
    fields: Callable[[Classification], dict[str, Any]],
    line: Callable[[dict[str, Any]], str],
    top: int = 5,
) -> None:
    """Classifies files and prints a row for each; a file that is no image gets an error instead."""
    from expertnet.inference.predictor import load_predictor

    predictor = load_predictor(run, checkpoint.value)
    images = []
    rows: list[dict[str, Any]] = [{"file": str(path)} for path in files]
    for row, path in zip(rows, files, strict=True):
        try:
            images.append(load_image(_read_bytes(path), predictor.image_size))
        except ImageError as error:
            row["error"] = str(error)
            if not as_json:
                say(f"{path}: {error}")
    answers = predictor.classify(images, top)
    for row, answer in zip((row for row in rows if "error" not in row), answers, strict=True):
        row |= fields(answer)
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
