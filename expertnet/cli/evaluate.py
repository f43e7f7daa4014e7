"""`expertnet evaluate`: the accuracy of a network on a test set, and a report on its results."""

import signal
from pathlib import Path
from typing import Annotated, Literal

import typer

from expertnet.cli.options import Checkpoint, CheckpointKind, Json, RunName, RunsDir, check_ending, open_store
from expertnet.cli.output import ActivityPrinter, print_result, say, say_if_training
from expertnet.data.datasets import flips, is_missing, load_test_split
from expertnet.data.info import is_own
from expertnet.errors import DatasetError, RunError
from expertnet.settings.fields import build_settings
from expertnet.store.checks import has_network
from expertnet.store.run import Run
from expertnet.utils.files import write_atomically
from expertnet.utils.text import counted, cut, percent


def evaluate(
    run: RunName,
    dataset: Annotated[
        str | None, typer.Option(metavar="NAME|PATH", help="Test on another dataset, which must have the same classes.")
    ] = None,
    validation: Annotated[
        bool, typer.Option("--validation", help="Measure on the validation images instead of the test images.")
    ] = False,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE.html", help="Write all results to a file that a browser opens.")
    ] = None,
    compare: Annotated[
        str | None,
        typer.Option(metavar="RUN", help="In the report, compare with another run on the images that both have."),
    ] = None,
    checkpoint: Checkpoint = CheckpointKind.BEST,
    runs_dir: RunsDir = None,
    as_json: Json = False,
) -> None:
    """Measure a network on its test set, or write a report.

    With --json, the output also has the confusion matrix.
    """
    from expertnet.inference.predictor import load_predictor
    from expertnet.network.evaluation import evaluate as measure
    from expertnet.routing.effects import load_part

    store = open_store(runs_dir)
    found = store.resolve(run, trained=True)
    predictor = load_predictor(found, checkpoint.value)
    data, own = predictor.settings.data, predictor.info
    part: Literal["validation", "test"] = "validation" if validation else "test"
    second = store.resolve(compare, trained=True) if compare else None
    _refuse(found, dataset, validation, report, compare)
    say_if_training(found, predictor.epoch)
    # Ctrl-C raises KeyboardInterrupt from here on, so that half a download or decoding is cleaned up.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if dataset is None:
        try:
            split, info = load_part(found, part), own
        except DatasetError as error:
            advice = "" if validation else " Or choose another dataset with the same classes: --dataset NAME."
            here = next((other for other in store.list() if other.id != found.id and _has_images(other)), None)
            if here is not None:
                advice += f" Or use 'expertnet evaluate {here.id}': the images of {here.title!r} are here or can be downloaded."
            raise DatasetError(f"{error}{advice}") from None
    else:
        named = build_settings(dataset=dataset).data.dataset
        split, info = load_test_split(data.model_copy(update={"dataset": named}))
    if info.classes != own.classes:
        raise DatasetError(
            f"{dataset!r} has other classes ({cut(', '.join(info.classes), 100)}) than run {found.name} was trained on. "
            "Choose a dataset with the same classes."
        )
    mirrored, same = flips(data), is_own(own, info)
    views = mirrored and data.six_views
    result = measure(predictor.model, split, own.mean, own.std, mirrored=mirrored, views=views)
    lines = [
        f"Accuracy {percent(result.accuracy, 2)}, loss {result.loss:.4f} "
        f"on {counted(len(split), f'{part} image')} of {info.name}"
    ]
    if mirrored:
        lines.append(f"Accuracy with mirrored images {percent(result.accuracy_mirrored, 2)}")
    if result.accuracy_views is not None:
        lines.append(f"Accuracy with six views {percent(result.accuracy_views, 2)}")
    if not same:
        lines.append(f"Note: these are not the {own.name} images that the run was trained and tested on.")
    if report is not None:
        from expertnet.findings.evaluation_report import html_report  # loads the charts

        elsewhere = None if dataset is None else (split, info)
        text = html_report(found, part, checkpoint.value, second, elsewhere, progress=ActivityPrinter())
        write_atomically(report, text.encode())
        say(f"Wrote {report}.")
    print_result(
        as_json,
        {
            "run": found.id,
            "dataset": info.name,
            "accuracy": result.accuracy,
            "accuracy_mirrored": result.accuracy_mirrored,
            "accuracy_views": result.accuracy_views,
            "loss": result.loss,
            "confusion": result.confusion.tolist(),
            "classes": list(info.classes),
            "own_images": same,
        },
        lines,
    )


def _refuse(run: Run, dataset: str | None, validation: bool, report: Path | None, compare: str | None) -> None:
    """Raise RunError for options that cannot be used together, or not with this run, before anything is computed."""
    if dataset is not None and validation:
        raise RunError("--validation is for the images that the run was trained with. Leave out --dataset.")
    if compare and report is None:
        raise RunError("--compare adds to a report. Enter its file, too: --report FILE.html.")
    if validation and run.watches_test:
        raise RunError(f"Run {run.title} held out no validation images. Leave out --validation.")
    if report is None:
        return
    if report.is_dir() or not report.parent.is_dir():
        raise RunError(
            f"{report} cannot be written. Enter the name of a file in an existing folder, such as report.html."
        )
    check_ending(report, "The report", ".html", ".htm")


def _has_images(run: Run) -> bool:
    """Return whether a run can be evaluated: it has a network, and its images are on this machine or can be downloaded."""
    return has_network(run) and not is_missing(run.settings().data)
