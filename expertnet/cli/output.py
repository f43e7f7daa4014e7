"""What the command line says: answers on standard output, everything else on standard error.

In this module: say, give, EpochPrinter, run_lines, UsageError and usage_sentence.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import typer

UsageError: Any = typer.BadParameter.__base__  # what typer raises for words that it does not know, but does not export


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def give(as_json: bool, document: Any, lines: Callable[[], list[str]]) -> None:
    """The answer on standard output: the document, or lines for a person."""
    for line in [json.dumps(document)] if as_json else lines():
        print(line, flush=True)


def usage_sentence(error: Any) -> str:
    """typer's several lines on a word it does not know, as one sentence that names the help."""
    text = " ".join(error.format_message().split()).replace("Value error, ", "")
    for hint in ("Did you mean", "Choose from"):
        text = text.replace(f". {hint}", f", {hint.lower()}")
    command = error.ctx.command_path if error.ctx else "python -m expertnet COMMAND"
    return f"{text.rstrip('.?')}; {command} --help says what it takes."
