"""What the command line says: answers on standard output, everything else on standard error.

In this module: say, give, EpochPrinter, run_lines, UsageError and usage_sentence.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from typing import Any

import typer

from expertnet.utils.text import counted, percent

UsageError: Any = typer.BadParameter.__base__  # what typer raises for words that it does not know, but does not export


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def give(as_json: bool, document: Any, lines: Callable[[], list[str]]) -> None:
    """The answer on standard output: the document, or lines for a person."""
    for line in [json.dumps(document)] if as_json else lines():
        print(line, flush=True)


class EpochPrinter:
    """A training's progress on standard error: each activity before its first step, then each whole epoch."""

    def __init__(self, watched: str) -> None:
        self.watched, self.activity = watched, ""
        self.epoch: int | None = None  # until the first step, the status has the epoch of an earlier training

    def __call__(self, status: dict[str, Any]) -> None:
        epoch, activity = status["epoch"], status["activity"]
        if self.epoch is None and activity == "Training":
            self.epoch = epoch
            if epoch:
                say(f"Going on after epoch {epoch}")
        elif self.epoch is None and activity != self.activity:
            self.activity = activity
            say(activity)
        elif self.epoch not in (None, epoch):
            self.epoch = epoch
            speed = status["images_per_second"]
            say(
                f"epoch {epoch}/{status['epochs']}  loss {status['train_loss_now'] or float('nan'):.4f}  "
                f"{self.watched} accuracy {percent(status.get('val_accuracy') or 0, 2)}"
                + (f"  {speed:.0f} pictures/s" if speed else "")
            )


def run_lines(runs: Sequence[Any]) -> list[str]:
    """The runs as a table for a person, with the best accuracy of each as the Runs page has it, and what it was measured on."""
    if not runs:
        return ["No runs yet; 'python -m expertnet train' makes one."]
    rows = [("run", "state", "epochs", "best accuracy", "data set", "name")]
    for run in runs:
        status, watched = run.status(), "test" if run.watches_test else "validation"
        best = status["best_val_accuracy"]
        accuracy = f"{percent(best, 2):>8} {watched}" if best is not None else ""
        rows.append((run.id, status["state"], counted(status["epoch"], "epoch"), accuracy, run.dataset, run.title))
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    return ["  ".join([*(text.ljust(width) for text, width in zip(row, widths, strict=False)), row[5]]) for row in rows]


def usage_sentence(error: Any) -> str:
    """typer's several lines on a word it does not know, as one sentence that names the help."""
    text = " ".join(error.format_message().split()).replace("Value error, ", "")
    for hint in ("Did you mean", "Choose from"):
        text = text.replace(f". {hint}", f", {hint.lower()}")
    command = error.ctx.command_path if error.ctx else "python -m expertnet COMMAND"
    return f"{text.rstrip('.?')}; {command} --help says what it takes."
