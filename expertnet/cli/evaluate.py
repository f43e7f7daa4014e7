"""`expertnet evaluate`: a network on a test set."""

from __future__ import annotations

import signal
from typing import Annotated

import typer

from expertnet.cli.options import Checkpoint, CheckpointKind, Json, RunName, RunsDir, open_store
from expertnet.cli.output import give
from expertnet.data.datasets import cached_test_split, dataset_title, flips, is_missing, load_test_split
from expertnet.errors import DatasetError
from expertnet.settings.fields import build_settings


def evaluate(
    run: RunName,
    dataset: Annotated[str | None, typer.Option(help="Another dataset with the same classes.")] = None,
    checkpoint: Checkpoint = CheckpointKind.BEST,
    runs_dir: RunsDir = None,
    as_json: Json = False,
) -> None:
    """Measure a run's network on the test set."""
    from expertnet.inference.predictor import load_predictor
    from expertnet.network.evaluation import evaluate as measure

    found = open_store(runs_dir).resolve(run, trained=True)
    predictor = load_predictor(found, checkpoint.value)
    data, kept = predictor.settings.data, cached_test_split(predictor.info) if dataset is None else None
    if dataset is not None:
        data = data.model_copy(update={"dataset": build_settings(dataset=dataset).data.dataset})
    elif kept is None and is_missing(data):
        raise DatasetError(
            f"The images of {dataset_title(data.dataset)}, which run {found.title} was trained on, are not on this machine; "
            "name a dataset with the same classes: --dataset NAME."
        )
    at_once = signal.signal(signal.SIGINT, signal.default_int_handler)  # half a download or decoding is cleaned up
    try:
        split, info = (kept, predictor.info) if kept else load_test_split(data)
    finally:
        signal.signal(signal.SIGINT, at_once)
    if info.classes != predictor.classes:
        raise DatasetError(
            f"The classes of {data.dataset!r} ({', '.join(info.classes[:5])}{', ...' * (len(info.classes) > 5)}) are not "
            f"those that run {found.name} knows; name a dataset that has them."
        )
    mean, std, mirrored = predictor.info.mean, predictor.info.std, flips(data)
    result = measure(predictor.model, split, mean, std, mirrored=mirrored)
    give(
        as_json,
        {
            "run": found.id,
            "dataset": info.name,
            "accuracy": result.accuracy,
            "accuracy_mirrored": result.accuracy_mirrored,
            "loss": result.loss,
            "confusion": result.confusion.tolist(),
            "classes": list(info.classes),
        },
        lambda: [
            f"accuracy {result.accuracy:.2%}, loss {result.loss:.4f} on {len(split)} test images of {info.name}",
            *([f"with mirrored views {result.accuracy_mirrored:.2%}"] if mirrored else []),
        ],
    )
