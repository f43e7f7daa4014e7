"""`expertnet export`: a run as files for elsewhere."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from expertnet.cli.options import Checkpoint, CheckpointKind, Json, RunName, RunsDir, open_store
from expertnet.cli.output import give
from expertnet.errors import RunError
from expertnet.utils.files import write_atomically


class Format(StrEnum):
    SAFETENSORS = "safetensors"  # the network alone
    ZIP = "zip"  # the whole run, for import


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
