"""Arguments and options that several commands share."""

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from expertnet.errors import RunError
from expertnet.store.run_store import RunStore


class CheckpointKind(StrEnum):
    """The checkpoint that a command reads."""

    BEST = "best"
    LAST = "last"


RunsDir = Annotated[
    Path | None,
    typer.Option("--runs-dir", metavar="DIR", help="Folder of the runs (default: $EXPERTNET_RUNS or runs/)."),
]
Json = Annotated[bool, typer.Option("--json", help="Print only one JSON document on standard output.")]
RunName = Annotated[
    str,
    typer.Argument(
        metavar="RUN", help='ID of a run, a unique prefix of one, or "latest" for the latest trained network.'
    ),
]
Checkpoint = Annotated[CheckpointKind, typer.Option(help="Weights of the best or of the last epoch.")]
Files = Annotated[list[Path], typer.Argument(metavar="FILE", help="Image files.")]


def open_store(runs_dir: Path | None, creates: bool = False) -> RunStore:
    """Return the runs in a folder, or in the default one.

    Raises RunError if the path is not a folder. If the user named the folder, it must also exist, unless the command
    `creates` it.
    """
    store = RunStore(runs_dir)
    must_exist = not creates and (runs_dir is not None or os.environ.get("EXPERTNET_RUNS"))
    if not store.root.is_dir() and (must_exist or os.path.lexists(store.root)):
        raise RunError(f"{store.root} is not a folder. Set the folder of the runs with --runs-dir or EXPERTNET_RUNS.")
    return store


def check_ending(file: Path, content: str, *endings: str) -> None:
    """Raise RunError if the name of a file to write has an ending of letters that is none of `endings`."""
    if file.suffix[1:].isalpha() and file.suffix.lower() not in endings:
        raise RunError(f"{content} needs a name that ends in {' or '.join(endings)}. You entered {file.name}.")
