"""Print results on standard output and everything else on standard error."""

import json
import sys
from collections.abc import Iterable
from typing import Any

import typer

from expertnet.utils.text import printable

UsageError: Any = typer.BadParameter.__base__  # raised for wrong arguments; typer does not export it


def say(text: str) -> None:
    """Print a message, an error or progress on standard error, without what controls a terminal."""
    print(printable(text), file=sys.stderr, flush=True)


class ActivityPrinter:
    """Print each activity of long-running work once; a `utils.progress.Report`."""

    activity = ""

    def __call__(self, activity: str, share: float | None = None) -> None:
        if activity != self.activity:
            self.activity = activity
            say(activity)


def print_result(as_json: bool, document: Any, lines: Iterable[str]) -> None:
    """Print the JSON document, or the lines for users."""
    for line in [json.dumps(document)] if as_json else map(printable, lines):
        print(line, flush=True)


def usage_sentence(error: Any) -> str:
    """Return typer's message on wrong arguments in one line, with the command that shows the help."""
    text = " ".join(error.format_message().split()).replace("Value error, ", "")
    command = error.ctx.command_path if error.ctx else "expertnet COMMAND"
    return f"{text}{'' if text.endswith(('.', '?')) else '.'} See '{command} --help'."
