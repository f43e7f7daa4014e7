"""`expertnet import`: runs from another computer."""

from pathlib import Path
from typing import Annotated

import typer

from expertnet.cli.options import Json, RunsDir, open_store
from expertnet.cli.output import print_result, say
from expertnet.errors import RunError


def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Zip file from the export command or the Runs page.")],
    runs_dir: RunsDir = None,
    as_json: Json = False,
) -> None:
    """Import one or more exported runs.

    All contents are checked first. Runs that you already have stay as they are.
    """
    from expertnet.transfer.import_run import import_all

    if not file.is_file():
        raise RunError(f"There is no file {file}. Choose a zip file that 'expertnet export --format zip' wrote.")
    with file.open("rb") as content:
        outcomes = import_all(open_store(runs_dir, creates=True), content, file.name)
    for refusal in outcomes:
        if isinstance(refusal, str):
            say(refusal)
    imported = [outcome for outcome in outcomes if not isinstance(outcome, str)]
    documents = [
        {"run": each.run.id, "was": each.original_id, "new": each.new, "name": each.run.title, "state": each.run.state}
        for each in imported
    ]
    if documents:
        document = documents[0] if len(outcomes) == 1 else documents
        print_result(as_json, document, [each.sentence for each in imported])
    if len(imported) < len(outcomes):
        raise typer.Exit(1 if imported else 2)
