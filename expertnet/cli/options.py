"""The arguments and options that commands share."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from expertnet.errors import RunError
from expertnet.store.run_store import RunStore


class CheckpointKind(StrEnum):
    BEST = "best"
    LAST = "last"


RunsDir = Annotated[
    Path | None, typer.Option("--runs-dir", help="Folder of the runs (default: EXPERTNET_RUNS, or runs/ here).")
]


Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON document on standard output, and nothing else there.")
]


RunName = Annotated[
    str,
    typer.Argument(
        metavar="RUN", help="A run's id, the unique beginning of one, or latest: the latest with a network."
    ),
]


Checkpoint = Annotated[CheckpointKind, typer.Option(help="The weights of the best or of the last epoch.")]


Files = Annotated[list[Path], typer.Argument(metavar="FILE", help="Image files.")]


def open_store(runs_dir: Path | None, creates: bool = False) -> RunStore:
    """The runs. A folder that was named has to be there; a training may make it."""
    store = RunStore(runs_dir)
    must_exist = not creates and (runs_dir is not None or os.environ.get("EXPERTNET_RUNS"))
    if not store.root.is_dir() and (must_exist or os.path.lexists(store.root)):
        raise RunError(f"{store.root} is no folder; name the one that holds the runs by --runs-dir or EXPERTNET_RUNS.")
    return store
