"""`expertnet predict`: the classes of images."""

from dataclasses import asdict
from typing import Annotated

import typer

from expertnet.cli.image_files import classify_files
from expertnet.cli.options import Checkpoint, CheckpointKind, Files, Json, RunName, RunsDir, open_store
from expertnet.utils.text import percent


def predict(
    run: RunName,
    files: Files,
    top: Annotated[int, typer.Option(min=1, metavar="N", help="Number of classes to print per image.")] = 5,
    checkpoint: Checkpoint = CheckpointKind.BEST,
    runs_dir: RunsDir = None,
    as_json: Json = False,
) -> None:
    """Classify images."""
    classify_files(
        open_store(runs_dir).resolve(run, trained=True),
        files,
        checkpoint,
        as_json,
        lambda answer: {"predictions": [asdict(prediction) for prediction in answer.predictions]},
        lambda answer: [", ".join(f"{each.label} {percent(each.probability)}" for each in answer.predictions)],
        top,
    )
