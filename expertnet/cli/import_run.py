"""`expertnet import`: takes in exported runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from expertnet.cli.options import Json, RunsDir, open_store
from expertnet.cli.output import give, say
from expertnet.errors import RunError


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
