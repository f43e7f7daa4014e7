"""Classify image files: what `predict` and `routing` share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from torch import Tensor

from expertnet.cli.options import CheckpointKind
from expertnet.cli.output import print_result, say
from expertnet.data.images import MAX_BYTES, load_image
from expertnet.errors import ImageError
from expertnet.store.run import Run

if TYPE_CHECKING:
    from expertnet.inference.predictor import Classification

NO_ANSWER = "The network's outputs for this image are not finite numbers, so it has no answer. Choose another checkpoint or run."


def classify_files(
    run: Run,
    files: list[Path],
    checkpoint: CheckpointKind,
    as_json: bool,
    fields: Callable[[Classification], dict[str, Any]],
    text: Callable[[Classification], list[str]],
    top: int = 1,
) -> None:
    """Classify image files and print the `fields` of each answer as JSON, or the lines of its `text` for users.

    A file that cannot be read, or for which the network's outputs are not finite, gets an error instead. The exit status is then 1,
    or 2 if all files failed.
    """
    from expertnet.inference.predictor import load_predictor

    def refuse(row: dict[str, Any], error: str) -> None:
        row["error"] = error
        if not as_json:
            say(f"{row['file']}: {error}")

    predictor = load_predictor(run, checkpoint.value)
    rows: list[dict[str, Any]] = [{"file": str(path)} for path in files]
    images: list[Tensor] = []
    for path, row in zip(files, rows, strict=True):
        try:
            images.append(load_image(_read_bytes(path), predictor.image_size))
        except ImageError as error:
            refuse(row, str(error))
    readable, lines = [row for row in rows if "error" not in row], []
    for row, answer in zip(readable, predictor.classify(images, top), strict=True):
        if not (answer.probabilities.isfinite().all() and answer.routing.isfinite().all()):
            refuse(row, NO_ANSWER)
            continue
        row |= fields(answer)
        first, *more = text(answer)
        lines += [f"{row['file']}: {first}".rstrip(), *more]
    print_result(as_json, rows, lines)
    failed = sum("error" in row for row in rows)
    if failed:
        raise typer.Exit(1 if failed < len(rows) else 2)


def _read_bytes(path: Path) -> bytes:
    """Read a file, or of one that is too large as much as `load_image` needs to say so. Raises ImageError."""
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ImageError(f"The file cannot be read ({error.strerror}). Check its path.") from None
