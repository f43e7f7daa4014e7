"""`expertnet routing`: the routing weights of images, or a report on the test set."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from expertnet.cli.image_files import for_each_file
from expertnet.cli.options import Checkpoint, CheckpointKind, Json, RunName, RunsDir, open_store
from expertnet.cli.output import give, say
from expertnet.errors import RunError
from expertnet.store.run import Run


def routing(
    run: RunName,
    files: Annotated[list[Path] | None, typer.Argument(metavar="[FILE]", help="Image files.")] = None,
    report: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write the routing lab of the whole test set into this folder.")
    ] = None,
    checkpoint: Checkpoint = CheckpointKind.BEST,
    runs_dir: RunsDir = None,
    as_json: Json = False,
) -> None:
    """Show the routing weights of images, or report on the test set.

    A row a block, a column an expert; with --report, the tables and charts of the whole test set are written.
    """
    found = open_store(runs_dir).resolve(run, trained=True)
    if not files and report is None:
        raise RunError("Name image files, or a folder for the tables and charts of the whole test set: --report DIR.")
    if report is not None:
        _report(found, report, checkpoint, as_json and not files)
    if files:
        for_each_file(
            found,
            files,
            checkpoint,
            as_json,
            lambda answer: {"weights": answer.routing.tolist()},
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
