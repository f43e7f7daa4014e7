"""The command line's part for networks that are trained, which cli.py joins to the rest.

In this module: the commands evaluate, predict, routing, export and import; RunsDir, Json and open_store, which all commands share.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from expertnet.data.datasets import dataset_title, flips, is_missing, load_test_split, remembered_test_split
from expertnet.data.images import MAX_BYTES, fit, read_picture
from expertnet.errors import DatasetError, ImageError, RunError
from expertnet.settings.fields import build_settings
from expertnet.store.run import Run
from expertnet.store.run_store import RunStore
from expertnet.terminal import give, say
from expertnet.utils.files import write_atomically

networks = typer.Typer()


class CheckpointKind(StrEnum):
    BEST = "best"
    LAST = "last"


class Format(StrEnum):
    SAFETENSORS = "safetensors"  # the network alone
    ZIP = "zip"  # the whole run, for import


RunsDir = Annotated[
    Path | None, typer.Option("--runs-dir", help="Folder of the runs (default: EXPERTNET_RUNS, or runs/ here).")
]
Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON document on standard output, and nothing else there.")
]
RunName = Annotated[
    str,
    typer.Argument(
        metavar="RUN", help="A run's id, the unique beginning of one, or latest: the latest with a network."
    ),
]
Checkpoint = Annotated[CheckpointKind, typer.Option(help="The weights of the best or of the last epoch.")]
Files = Annotated[list[Path], typer.Argument(metavar="FILE", help="Picture files.")]


def open_store(runs_dir: Path | None, creates: bool = False) -> RunStore:
    """The runs. A folder that was named has to be there; a training may make it."""
    store = RunStore(runs_dir)
    named = runs_dir is not None or os.environ.get("EXPERTNET_RUNS")
    if named and not store.root.is_dir() and (os.path.lexists(store.root) or not creates):
        raise RunError(f"{store.root} is no folder; name the one that holds the runs by --runs-dir or EXPERTNET_RUNS.")
    return store


@networks.command()
def evaluate(
    run: RunName,
    dataset: Annotated[str | None, typer.Option(help="Another data set with the same classes.")] = None,
    checkpoint: Checkpoint = CheckpointKind.BEST,
    runs_dir: RunsDir = None,
    as_json: Json = False,
) -> None:
    """Measure a run's network on the test set."""
    from expertnet.inference.predictor import load_predictor
    from expertnet.network.evaluation import evaluate as measure

    found = open_store(runs_dir).resolve(run, trained=True)
    predictor = load_predictor(found, checkpoint.value)
    data, kept = predictor.settings.data, remembered_test_split(predictor.info) if dataset is None else None
    if dataset is not None:
        data = data.model_copy(update={"dataset": build_settings(dataset=dataset).data.dataset})
    elif kept is None and is_missing(data):
        raise DatasetError(
            f"The pictures of {dataset_title(data.dataset)}, which run {found.title} was trained on, are not on this machine; "
            "name a data set with the same classes: --dataset NAME."
        )
    at_once = signal.signal(signal.SIGINT, signal.default_int_handler)  # half a download or decoding is cleaned up
    try:
        split, info = (kept, predictor.info) if kept else load_test_split(data)
    finally:
        signal.signal(signal.SIGINT, at_once)
    if info.classes != predictor.classes:
        raise DatasetError(
            f"The classes of {data.dataset!r} ({', '.join(info.classes[:5])}{', ...' * (len(info.classes) > 5)}) are not "
            f"those that run {found.name} knows; name a data set that has them."
        )
    mean, std, mirrored = predictor.info.mean, predictor.info.std, flips(data)
    result = measure(predictor.model, split, mean, std, len(predictor.classes), mirrored=mirrored)
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
            f"accuracy {result.accuracy:.2%}, loss {result.loss:.4f} on {len(split)} test pictures of {info.name}",
            *([f"with mirrored views {result.accuracy_mirrored:.2%}"] if mirrored else []),
        ],
    )


@networks.command()
def predict(
    run: RunName,
    files: Files,
    top: Annotated[int, typer.Option(min=1, help="How many classes to name.")] = 5,
    checkpoint: Checkpoint = CheckpointKind.BEST,
    runs_dir: RunsDir = None,
    as_json: Json = False,
) -> None:
    """Classify pictures."""

    def answer(predictor: Any, image: Any) -> dict[str, Any]:
        probabilities = predictor(image)[0][0]
        values, indices = probabilities.topk(min(top, len(predictor.classes)))
        return {
            "predictions": [
                {"label": predictor.classes[i], "probability": p}
                for p, i in zip(values.tolist(), indices.tolist(), strict=True)
            ]
        }

    _for_each_file(
        open_store(runs_dir).resolve(run, trained=True),
        files,
        checkpoint,
        as_json,
        answer,
        lambda row: ", ".join(f"{p['label']} {p['probability']:.1%}" for p in row["predictions"]),
    )


@networks.command()
def routing(
    run: RunName,
    files: Annotated[list[Path] | None, typer.Argument(metavar="[FILE]", help="Picture files.")] = None,
    report: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write the routing lab of the whole test set into this folder.")
    ] = None,
    checkpoint: Checkpoint = CheckpointKind.BEST,
    runs_dir: RunsDir = None,
    as_json: Json = False,
) -> None:
    """Show the routing weights of pictures, or report on the test set.

    A row a block, a column an expert; with --report, the tables and charts of the whole test set are written.
    """
    found = open_store(runs_dir).resolve(run, trained=True)
    if not files and report is None:
        raise RunError("Name picture files, or a folder for the tables and charts of the whole test set: --report DIR.")
    if report is not None:
        _report(found, report, checkpoint, as_json and not files)
    if files:
        _for_each_file(
            found,
            files,
            checkpoint,
            as_json,
            lambda predictor, image: {"weights": predictor(image)[1][0].tolist()},
            lambda row: "\n" + "\n".join("  ".join(f"{weight:.3f}" for weight in block) for block in row["weights"]),
        )


def _report(run: Run, folder: Path, checkpoint: CheckpointKind, as_json: bool) -> None:
    from expertnet.findings.report import write_report

    if os.path.lexists(folder) and not folder.is_dir():
        raise RunError(f"{folder} is no folder; name one for the report, or one that is not there yet.")
    said = ""

    def progress(activity: str, share: float | None) -> None:
        nonlocal said
        if activity != said:
            say(said := activity)

    written = write_report(run, folder, checkpoint.value, progress)
    if as_json:
        give(True, {"run": run.id, "report": str(folder), "files": [path.name for path in written]}, list)
    else:
        say(f"wrote {len(written)} files into {folder}; begin with index.md")


def _for_each_file(
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
                    **answer(predictor, fit(read_picture(_read_bytes(path)), predictor.image_size)[None]),
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
            return file.read(MAX_BYTES + 1)  # one more than allowed, which read_picture refuses
    except OSError as error:
        raise ImageError(f"The file cannot be read ({error.strerror}); check its path.") from None


@networks.command()
def export(
    run: RunName,
    format: Annotated[Format, typer.Option(help="safetensors: the network alone; zip: the whole run, for import.")],
    output: Annotated[Path, typer.Option(help="File to write.")],
    checkpoint: Checkpoint = CheckpointKind.BEST,
    runs_dir: RunsDir = None,
    as_json: Json = False,
) -> None:
    """Write a run's network to a file of its own, or the run as a zip.

    The settings and classes are in the network's metadata.
    """
    found, document = open_store(runs_dir).resolve(run, trained=True), {"format": format.value, "output": str(output)}
    if format is Format.ZIP and checkpoint is not CheckpointKind.BEST:
        raise RunError("A zip holds the whole run; --checkpoint chooses what --format safetensors writes.")
    try:
        if format is Format.ZIP:
            from expertnet.transfer.export_run import export_run

            write_atomically(output, lambda file: export_run(found, file))
            give(as_json, {"run": found.id, **document}, lambda: [f"wrote {output}"])
        else:
            from safetensors.torch import save

            weights, epoch = found.load_weights(checkpoint.value)
            metadata = {"epoch": str(epoch), "config": json.dumps(found.config())}
            write_atomically(output, save(weights, metadata))
            give(as_json, {"run": found.id, **document, "epoch": epoch}, lambda: [f"wrote {output} (epoch {epoch})"])
    except OSError as error:
        raise RunError(f"{output} cannot be written ({error.strerror}); name a file in a folder that exists.") from None


@networks.command("import")
def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A zip that export wrote.")],
    runs_dir: RunsDir = None,
    as_json: Json = False,
) -> None:
    """Take in a run that was exported elsewhere, or several.

    Everything in it is checked first; one that is here already stays as it is.
    """
    from expertnet.transfer.import_run import import_all

    if not file.is_file():
        raise RunError(f"There is no file {file}; name a zip that export wrote.")
    with file.open("rb") as content:
        done = import_all(open_store(runs_dir, creates=True), content, file.name)
    imported = [each for each in done if not isinstance(each, str)]
    for refused in (each for each in done if isinstance(each, str)):
        say(refused)
    documents = [
        {"run": each.run.id, "was": each.was, "new": each.new, "name": each.run.title, "state": each.run.state}
        for each in imported
    ]
    if documents:
        give(as_json, documents[0] if len(done) == 1 else documents, lambda: [each.sentence for each in imported])
    if len(imported) < len(done):
        raise typer.Exit(1 if imported else 2)
