"""The command line: what the browser does, without it.

In this module: the commands train, runs, evaluate, predict, routing, export, and main, which turns every error into
one sentence and an exit status (0 done, 1 some of it failed, 2 nothing could be done, 130 for Ctrl-C). How it is said
stands in terminal.py.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from expertnet.config import SettingsError
from expertnet.datasets import BUILTIN, DatasetError, flips, is_ready, load_test_split, look
from expertnet.fields import build_settings, parse_assignments
from expertnet.pictures import MAX_BYTES, PictureError, fit, read_picture
from expertnet.presets import DEFAULT_PRESET, PRESETS
from expertnet.runs import Run, RunError, RunStore
from expertnet.terminal import EpochPrinter, UsageError, counted, give, percent, say, usage_sentence

app = typer.Typer(
    help="Train networks of experts, and see where each picture is routed.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


class CheckpointKind(StrEnum):
    BEST = "best"
    LAST = "last"


class Format(StrEnum):
    SAFETENSORS = "safetensors"


RunsDir = Annotated[
    Path | None, typer.Option("--runs-dir", help="Folder of the runs (default: EXPERTNET_RUNS, or runs/ here).")
]
Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON document on standard output, and nothing else there.")
]
RunName = Annotated[str, typer.Argument(metavar="RUN", help="A run's id, the unique beginning of one, or latest.")]
Checkpoint = Annotated[CheckpointKind, typer.Option(help="The weights of the best or of the last epoch.")]
Files = Annotated[list[Path], typer.Argument(metavar="FILE", help="Picture files.")]


def _store(runs_dir: Path | None, creates: bool = False) -> RunStore:
    """The runs. A folder that was named has to be there; a training may make it."""
    store = RunStore(runs_dir)
    named = runs_dir is not None or os.environ.get("EXPERTNET_RUNS")
    if named and not store.root.is_dir() and (os.path.lexists(store.root) or not creates):
        raise RunError(f"{store.root} is no folder; name the one that holds the runs by --runs-dir or EXPERTNET_RUNS.")
    return store


@app.command()
def train(
    preset: Annotated[
        str, typer.Option(help="Where the settings start from: " + ", ".join(PRESETS) + ".")
    ] = DEFAULT_PRESET,
    dataset: Annotated[
        str | None, typer.Option(help="A built-in data set, or the path of a folder or archive of class folders.")
    ] = None,
    assignments: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A setting, such as training.lr=0.001.")
    ] = None,
    name: Annotated[str, typer.Option(help="What to call the run.")] = "",
    resume: Annotated[
        str | None, typer.Option(metavar="RUN", help="Go on with this run after its last whole epoch.")
    ] = None,
    runs_dir: RunsDir = None,
    as_json: Json = False,
) -> None:
    """Train a network; Ctrl-C stops it and keeps its last whole epoch."""
    from expertnet.jobs import prepare_resume, refuse_what_cannot_start  # torch's own imports take a second
    from expertnet.own_process import end_in_time
    from expertnet.training import Stop
    from expertnet.turns import train_in_turn

    store, values, stop = _store(runs_dir, creates=resume is None), parse_assignments(assignments or []), Stop()
    signal.signal(signal.SIGINT, lambda *_: stop.set())  # before there is a run that it could leave unfinished
    signal.signal(signal.SIGTERM, lambda *_: end_in_time(stop))
    if resume is not None:
        if dataset is not None or preset != DEFAULT_PRESET or name or set(values) - {"training.epochs"}:
            raise SettingsError(
                "--resume goes on with the settings of its run; beside it only --set training.epochs can be given."
            )
        run = store.resolve(resume)
        epochs = build_settings(overrides=values).training.epochs if values else None
        prepare_resume(run, epochs)
    else:
        settings = build_settings(preset, dataset, values)
        refuse_what_cannot_start(settings)
        if not is_ready(settings.data) and settings.data.dataset not in BUILTIN:
            look(settings.data)  # own pictures that cannot be used leave no run behind
        run = store.create(settings, preset, name)
    say(f"Run {run.id}")
    status = train_in_turn(
        run,
        stop,
        on_progress=EpochPrinter("test" if run.watches_test else "validation"),
        on_wait=lambda: say(
            "It waits in the queue: another training runs, or the queue is paused. Ctrl-C takes it out."
        ),
    )
    if resume is None and status["state"] == "stopped" and run.path.is_dir() and not (run.path / "resume.pt").exists():
        run.move_to_trash()
        say("It was stopped before it began, so there is nothing to keep of it.")
    metrics = run.metrics()
    last = metrics[-1] if metrics else {}
    document = {
        "run": run.id,
        "state": status["state"],
        "epochs": status["epoch"],
        "val_accuracy": last.get("val_accuracy"),
        "best_val_accuracy": status["best_val_accuracy"],
        "test_accuracy": status["test_accuracy"],
        "test_accuracy_mirrored": status["test_accuracy_mirrored"],
        "images_per_second": last.get("images_per_second"),
        "seconds": status["seconds"],
        "device": status["device"],
    }
    give(
        as_json,
        document,
        lambda: [
            f"{status['state']} after {counted(status['epoch'], 'epoch')}",
            *([f"test accuracy {status['test_accuracy']:.2%}"] if status["test_accuracy"] is not None else []),
        ],
    )
    if status["state"] == "failed":
        say(status["error"])
        raise typer.Exit(1)


@app.command()
def runs(runs_dir: RunsDir = None, as_json: Json = False) -> None:
    """List the runs, newest first."""
    rows, found = [], _store(runs_dir).list()
    for run in found:
        status, metrics, info = run.status(), run.metrics(), run.dataset_info()
        rows.append(
            {
                "run": run.id,
                "name": run.name,
                "state": status["state"],
                "epochs": status["epoch"],
                "val_accuracy": metrics[-1].get("val_accuracy") if metrics else None,
                "created": run.created or None,
                "dataset": info.name if info else None,
            }
        )
    give(
        as_json,
        rows,
        lambda: (
            [
                f"{row['run']}  {row['state']:<11}  {counted(row['epochs'], 'epoch'):>12}  "
                f"{percent(row['val_accuracy']):>7} {'test' if run.watches_test else '':<5} {row['dataset'] or '':<14} {row['name']}"
                for run, row in zip(found, rows, strict=True)
            ]
            or ["No runs yet; 'python -m expertnet train' makes one."]
        ),
    )


@app.command()
def evaluate(
    run: RunName,
    dataset: Annotated[str | None, typer.Option(help="Another data set with the same classes.")] = None,
    checkpoint: Checkpoint = CheckpointKind.BEST,
    runs_dir: RunsDir = None,
    as_json: Json = False,
) -> None:
    """Measure a run's network on the test set."""
    from expertnet.evaluation import evaluate as measure
    from expertnet.inference import load_predictor

    found = _store(runs_dir).resolve(run)
    predictor = load_predictor(found, checkpoint.value)
    data = predictor.settings.data
    if dataset is not None:
        data = data.model_copy(update={"dataset": build_settings(dataset=dataset).data.dataset})
    at_once = signal.signal(signal.SIGINT, signal.default_int_handler)  # half a download or decoding is cleaned up
    try:
        split, info = load_test_split(data)
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


@app.command()
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
        _store(runs_dir).resolve(run),
        files,
        checkpoint,
        as_json,
        answer,
        lambda row: ", ".join(f"{p['label']} {p['probability']:.1%}" for p in row["predictions"]),
    )


@app.command()
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
    """Show the routing weights of pictures, a row a block, a column an expert; or write the tables and charts of the test set."""
    found = _store(runs_dir).resolve(run)
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
    from expertnet.report import write_report

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
    from expertnet.inference import load_predictor

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
        except PictureError as error:
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
        raise PictureError(f"The file cannot be read ({error.strerror}); check its path.") from None


@app.command()
def export(
    run: RunName,
    format: Annotated[Format, typer.Option(help="File format.")],
    output: Annotated[Path, typer.Option(help="File to write.")],
    checkpoint: Checkpoint = CheckpointKind.BEST,
    runs_dir: RunsDir = None,
    as_json: Json = False,
) -> None:
    """Write a run's network, with its settings and classes in the metadata, to a file of its own."""
    from safetensors.torch import save

    from expertnet.files import write_atomically

    found = _store(runs_dir).resolve(run)
    weights, epoch = found.load_weights(checkpoint.value)
    metadata = {"epoch": str(epoch), "config": json.dumps(found.config())}
    try:
        write_atomically(output, save(weights, metadata))
    except OSError as error:
        raise RunError(f"{output} cannot be written ({error.strerror}); name a file in a folder that exists.") from None
    give(
        as_json,
        {"run": found.id, "format": format.value, "output": str(output), "epoch": epoch},
        lambda: [f"wrote {output} (epoch {epoch})"],
    )


def main() -> None:
    """Runs the command line; every foreseen error is one sentence on standard error and status 2."""
    try:
        sys.exit(app(prog_name="python -m expertnet", standalone_mode=False))  # None, typer.Exit's, or 130
    except UsageError as error:
        say(usage_sentence(error))
    except (SettingsError, DatasetError, RunError, PictureError) as error:
        say(str(error))
    except OSError as error:
        say(f"{error.filename or 'A file'} could not be used ({error.strerror}); check its path and your rights to it.")
    except typer.Abort:  # Ctrl-C in older versions of typer
        sys.exit(130)
    sys.exit(2)
