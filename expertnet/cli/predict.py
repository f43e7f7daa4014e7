"""`expertnet predict`: the classes of images."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from expertnet.cli.image_files import for_each_file
from expertnet.cli.options import Checkpoint, CheckpointKind, Files, Json, RunName, RunsDir, open_store


def predict(
    run: RunName,
    files: Files,
    top: Annotated[int, typer.Option(min=1, help="How many classes to name.")] = 5,
    checkpoint: Checkpoint = CheckpointKind.BEST,
    runs_dir: RunsDir = None,
    as_json: Json = False,
) -> None:
    """Classify images."""
    for_each_file(
        open_store(runs_dir).resolve(run, trained=True),
        files,
        checkpoint,
        as_json,
        lambda answer: {"predictions": [asdict(prediction) for prediction in answer.predictions]},
        lambda row: ", ".join(f"{p['label']} {p['probability']:.1%}" for p in row["predictions"]),
        top,
    )
