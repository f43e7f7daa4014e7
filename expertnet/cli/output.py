"""Print results on standard output and everything else on standard error."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pandas as pd
import typer

from expertnet.store.run import Run
from expertnet.utils.files import to_json
from expertnet.utils.text import JOINERS, printable

UsageError: Any = typer.BadParameter.__base__  # raised for wrong arguments; typer does not export it


def say(text: str) -> None:
    """Print a message, an error or progress on standard error, without what controls a terminal."""
    print(printable(text, JOINERS), file=sys.stderr, flush=True)


def say_if_training(run: Run, epoch: int) -> None:
    """Tell users of a run that trains, or waits to train on, of which epoch the weights are."""
    if run.status().active:
        say(
            f"Run {run.name} is still in training. These are its weights of epoch {epoch}. Until it ends, they may "
            "change, and it may be unknown which images are unlike its training images."
        )


class ActivityPrinter:
    """Print each activity of long-running work once; a `utils.progress.Report`."""

    activity = ""

    def __call__(self, activity: str, share: float | None = None) -> None:
        if activity != self.activity:
            self.activity = activity
            say(activity)


def print_result(as_json: bool, document: Any, lines: Iterable[str]) -> None:
    """Print the JSON document, with null for a number that is not finite, or the lines for users."""
    if as_json:
        print(to_json(document), flush=True)
        return
    for line in lines:
        print(printable(line, JOINERS), flush=True)


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a table, with None for missing values."""
    rows = table.astype(object).to_dict("records")
    return [{str(key): None if pd.isna(value) else value for key, value in row.items()} for row in rows]


def aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield the rows of a table as lines, with each column as wide as its longest text."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()


def usage_sentence(error: Any) -> str:
    """Return typer's message on wrong arguments in one line, with the command that shows the help."""
    text = " ".join(error.format_message().split()).replace("Value error, ", "")
    command = error.ctx.command_path if error.ctx else "expertnet COMMAND"
    return f"{text}{'' if text.endswith(('.', '?')) else '.'} See '{command} --help'."
