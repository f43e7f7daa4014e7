"""`expertnet export`: a network or a whole run as a file."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from expertnet.cli.options import Checkpoint, CheckpointKind, Json, RunName, RunsDir, check_ending, open_store
from expertnet.cli.output import ActivityPrinter, print_result, say_if_training
from expertnet.errors import RunError
from expertnet.store.run import Run
from expertnet.utils.files import check_writable, write_atomically


class Format(StrEnum):
    """The file format of an export."""

    SAFETENSORS = "safetensors"
    ZIP = "zip"
    ONNX = "onnx"
    HTML = "html"
    CARD = "card"


ENDINGS = {
    Format.SAFETENSORS: (".safetensors",),
    Format.ZIP: (".zip",),
    Format.ONNX: (".zip", ".onnx"),
    Format.HTML: (".html", ".htm"),
    Format.CARD: (".md", ".markdown"),
}


class PrecisionKind(StrEnum):
    """The number format of an ONNX network."""

    FLOAT32 = "float32"
    FLOAT16 = "float16"
    INT8 = "int8"


FORMATS = (
    "safetensors: the network; with an existing empty folder as output, also its settings and model card. zip: the whole run, for "
    "import. onnx: the network for onnxruntime, in a zip with code that uses it; with an output that ends in .onnx, the network "
    "alone. html: a web page that classifies images offline. card: the model card."
)


def export(
    run: RunName,
    format: Annotated[Format, typer.Option(help=FORMATS)],
    output: Annotated[Path, typer.Option(metavar="FILE", help="File to write.")],
    checkpoint: Checkpoint = CheckpointKind.BEST,
    precision: Annotated[
        PrecisionKind,
        typer.Option(help="Number format of the network in onnx or html. int8 is calibrated on validation images."),
    ] = PrecisionKind.FLOAT32,
    runs_dir: RunsDir = None,
    as_json: Json = False,
) -> None:
    """Export a network, its model card or a whole run.

    A safetensors file has the epoch, the settings and the classes in its metadata. An ONNX network is checked against PyTorch
    before it is written.
    """
    found = open_store(runs_dir).resolve(run, trained=True)
    document: dict[str, Any] = {"run": found.id, "format": format.value, "output": str(output)}
    if format is Format.ZIP and checkpoint is not CheckpointKind.BEST:
        raise RunError("A zip holds the whole run. Use --checkpoint only with the other formats.")
    if precision is not PrecisionKind.FLOAT32 and format not in (Format.ONNX, Format.HTML):
        raise RunError("Use --precision only with --format onnx or html.")
    epoch, lines = found.checkpoints.epoch(checkpoint.value), list[str]()
    if epoch is not None:
        say_if_training(found, epoch)
    if not (format is Format.SAFETENSORS and output.is_dir()):
        check_ending(output, f"The output of --format {format}", *ENDINGS[format])
        with _written(output):  # or refused now, instead of after the conversion
            check_writable(output)
    if format is Format.ZIP:
        from expertnet.transfer.export_run import export_run

        _write(output, lambda file: export_run(found, file))
    elif format is Format.CARD:
        _write(output, _card(found, checkpoint).encode())
    elif format is Format.SAFETENSORS:
        document["epoch"] = _safetensors(found, checkpoint, output)
    else:
        more, sentence = _onnx(found, checkpoint, precision, output, as_page=format is Format.HTML)
        document |= more
        lines.append(sentence)
    of = f" (epoch {document['epoch']})" if "epoch" in document else ""
    print_result(as_json, document, [f"Wrote {output}{of}", *lines])


def _safetensors(run: Run, checkpoint: CheckpointKind, output: Path) -> int:
    """Write a file, or several into a folder, and return the epoch of the weights."""
    from expertnet.transfer.export_network import network_file, write_network

    content, epoch = network_file(run, checkpoint.value)
    if output.is_dir():
        card = _card(run, checkpoint, epoch)
        with _written(output):
            write_network(run, content, card, output)
    else:
        _write(output, content)
    return epoch


def _card(run: Run, checkpoint: CheckpointKind, exported: int | None = None) -> str:
    """Return the model card, for which the run's images are classified if they are here and have not been.

    Raises RunError if the checkpoint is no longer that of the epoch that the card is `exported` with.
    """
    from expertnet.findings.card import measure_for_card, model_card

    measure_for_card(run, checkpoint.value, ActivityPrinter())
    return model_card(run, checkpoint.value, exported)


def _write(output: Path, content: Callable[[Any], None] | bytes) -> None:
    with _written(output):
        write_atomically(output, content)


@contextmanager
def _written(output: Path) -> Iterator[None]:
    """Say what to do about an output that cannot be written."""
    try:
        yield
    except OSError as error:
        raise RunError(f"{output} cannot be written ({error.strerror}). Choose a file in an existing folder.") from None


def _onnx(
    run: Run, checkpoint: CheckpointKind, precision: PrecisionKind, output: Path, as_page: bool
) -> tuple[dict[str, Any], str]:
    """Write a checked network, and return fields for --json and a sentence on it."""
    from expertnet.findings.card import measure_for_card
    from expertnet.transfer.export_onnx import export_onnx, package
    from expertnet.transfer.onnx_graph import require_packages
    from expertnet.transfer.onnx_precision import Precision
    from expertnet.transfer.web_page import load_runtime, web_page

    require_packages()  # or refused now, instead of after the download and the measurement
    progress = ActivityPrinter()
    runtime = load_runtime(progress) if as_page else None  # first, since a network may be missing
    has_card = not as_page and output.suffix.lower() != ".onnx"
    if has_card:
        measure_for_card(run, checkpoint.value, progress)  # first, since the network carries the temperature
    exported = export_onnx(run, checkpoint.value, Precision(precision.value), progress)
    if runtime:
        content = web_page(run, exported, runtime)
    elif not has_card:
        content = exported.content
    else:
        content = package(run, exported, _card(run, checkpoint, exported.predictor.epoch))
    _write(output, content)
    fields = {
        "epoch": exported.predictor.epoch,
        "precision": precision.value,
        "difference": exported.difference,
        "kept": vars(exported.kept) if exported.kept else None,
    }
    return fields, exported.sentence
