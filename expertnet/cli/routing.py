"""`expertnet routing`: the routing weights of images, or a report on the test set."""

import os
from pathlib import Path
from typing import Annotated

import typer

from expertnet.cli.image_files import classify_files
from expertnet.cli.options import Checkpoint, CheckpointKind, Json, RunName, RunsDir, open_store
from expertnet.cli.output import ActivityPrinter, print_result, say
from expertnet.errors import RunError
from expertnet.store.run import Run
from expertnet.utils.text import counted


def routing(
    run: RunName,
    files: Annotated[list[Path] | None, typer.Argument(metavar="FILE", help="Image files.")] = None,
    report: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write tables and charts of the whole test set to this folder.")
    ] = None,
    on_test: Annotated[
        bool,
        typer.Option(
            "--on-test", help="In the report, change the routing of the test images instead of the validation images."
        ),
    ] = False,
    checkpoint: Checkpoint = CheckpointKind.BEST,
    runs_dir: RunsDir = None,
    as_json: Json = False,
) -> None:
    """Print the routing weights of images, or write a report.

    Each block with experts is a row, and each expert is a column.
    """
    found = open_store(runs_dir).resolve(run, trained=True)
    if not files and report is None:
        raise RunError("Enter image files, or a folder for a report on the test set: --report DIR.")
    if report is not None:
        _report(found, report, checkpoint, as_json and not files, on_test)
    if files:
        blocks = found.settings().model.routed_blocks  # the rows of the others hold 1, 0, 0
        classify_files(
            found,
            files,
            checkpoint,
            as_json,
            lambda answer: {"weights": answer.routing.tolist(), "blocks": list(blocks)},
            lambda answer: [
                "",
                *(
                    f"  block {block:<2}  {'  '.join(f'{weight:.3f}' for weight in answer.routing[block - 1].tolist())}"
                    for block in blocks
                ),
            ],
        )


def _report(run: Run, folder: Path, checkpoint: CheckpointKind, as_json: bool, on_test: bool) -> None:
    from expertnet.findings.report import write_report

    if os.path.lexists(folder) and not folder.is_dir():
        raise RunError(f"{folder} is not a folder. Choose a new or an existing folder for the report.")
    written = write_report(run, folder, checkpoint.value, ActivityPrinter(), "test" if on_test else None)
    if as_json:
        print_result(True, {"run": run.id, "report": str(folder), "files": [path.name for path in written]}, [])
    else:
        say(f"Wrote {counted(len(written), 'file')} to {folder}. Start with index.md.")
