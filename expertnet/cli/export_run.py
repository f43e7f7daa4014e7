"""`expertnet export`: a network or a whole run as a file."""

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from expertnet.cli.options import Checkpoint, CheckpointKind, Json, RunName, RunsDir, open_store
from expertnet.cli.output import print_result
from expertnet.errors import RunError
from expertnet.store.checks import load_weights
from expertnet.utils.files import write_atomically


class Format(StrEnum):
    """The file format of an export."""

    SAFETENSORS = "safetensors"
    ZIP = "zip"


def export(
    run: RunName,
    format: Annotated[Format, typer.Option(help="safetensors: the network. zip: the whole run, for import.")],
    output: Annotated[Path, typer.Option(metavar="FILE", help="File to write.")],
    checkpoint: Checkpoint = CheckpointKind.BEST,
    runs_dir: RunsDir = None,
    as_json: Json = False,
) -> None:
    """Export a network as safetensors, or a whole run as a zip.

    A safetensors file has the epoch, the settings and the classes in its metadata.
    """
    found = open_store(runs_dir).resolve(run, trained=True)
    document: dict[str, Any] = {"run": found.id, "format": format.value, "output": str(output)}
    line = f"Wrote {output}"
    if format is Format.ZIP and checkpoint is not CheckpointKind.BEST:
        raise RunError("A zip holds the whole run. Use --checkpoint only with --format safetensors.")
    try:
        if format is Format.ZIP:
            from expertnet.transfer.export_run import export_run

            write_atomically(output, lambda file: export_run(found, file))
        else:
            from safetensors.torch import save

            weights, document["epoch"] = load_weights(found, checkpoint.value)
            metadata = {"epoch": str(document["epoch"]), "config": json.dumps(found.config())}
            write_atomically(output, save(weights, metadata))
            line += f" (epoch {document['epoch']})"
    except OSError as error:
        raise RunError(f"{output} cannot be written ({error.strerror}). Choose a file in an existing folder.") from None
    print_result(as_json, document, [line])
