"""`expertnet predict`: the classes of images."""

from __future__ import annotations

from dataclasses import asdict
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any

import typer

from expertnet.cli.image_files import classify_files
from expertnet.cli.options import Checkpoint, CheckpointKind, Files, Json, RunName, RunsDir, open_store
from expertnet.cli.output import ActivityPrinter, say_if_training
from expertnet.utils.text import percent

if TYPE_CHECKING:
    from expertnet.inference.novelty import Novelty, Verdict
    from expertnet.inference.predictor import Classification


def predict(
    run: RunName,
    files: Files,
    top: Annotated[int, typer.Option(min=1, metavar="N", help="Number of classes to print per image.")] = 5,
    checkpoint: Checkpoint = CheckpointKind.BEST,
    runs_dir: RunsDir = None,
    as_json: Json = False,
) -> None:
    """Classify images, and say which are unlike those trained on."""
    from expertnet.evaluation.outputs import cached_temperature
    from expertnet.inference.novelty import find_novelty
    from expertnet.inference.predictor import load_predictor

    found = open_store(runs_dir).resolve(run, trained=True)
    say_if_training(found, load_predictor(found, checkpoint.value).epoch)
    temperature = cached_temperature(found, checkpoint.value)

    @cache  # measured once an image could be read
    def novelty() -> Novelty | None:
        return find_novelty(found, checkpoint.value, ActivityPrinter())

    def unlike(answer: Classification) -> Verdict | None:
        known = novelty()
        return known.verdicts([answer])[0] if known else None

    def fields(answer: Classification) -> dict[str, Any]:
        verdict = unlike(answer)
        predictions = [asdict(prediction) for prediction in answer.predictions]
        if temperature:
            for each, prediction in zip(answer.calibrated(temperature).predictions, predictions, strict=True):
                prediction["calibrated"] = each.probability
        return {"predictions": predictions, "unlike": asdict(verdict) if verdict else None}

    def text(answer: Classification) -> list[str]:
        line = ", ".join(f"{each.label} {percent(each.probability)}" for each in answer.predictions)
        verdict = unlike(answer)
        return [f"{line}; unlike the images it was trained on" if verdict and verdict.unlike else line]

    classify_files(found, files, checkpoint, as_json, fields, text, top)
