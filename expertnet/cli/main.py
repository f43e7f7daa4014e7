"""The command line: what the browser does, without it.

In this module: the commands train, settings and runs, and main, which turns every error into one sentence and an exit status (0 done,
1 some of it failed, 2 nothing could be done, 130 for Ctrl-C). The commands for trained networks are in cli_networks.py; how
it is said stands in terminal.py.
"""

from __future__ import annotations

import sys

import typer

from expertnet.cli import evaluate, export_run, import_run, predict, routing, runs, serve, settings, train
from expertnet.cli.output import UsageError, say, usage_sentence
from expertnet.errors import UserError
from expertnet.utils.files import os_error_sentence

app = typer.Typer(
    help="Train networks of experts, and see where each image is routed.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


for name, command in (
    ("train", train.train),
    ("settings", settings.settings),
    ("runs", runs.runs),
    ("evaluate", evaluate.evaluate),
    ("predict", predict.predict),
    ("routing", routing.routing),
    ("export", export_run.export),
    ("import", import_run.import_),
    ("serve", serve.serve),
):
    app.command(name)(command)


def main() -> None:
    """Runs the command line; every foreseen error is one sentence on standard error and status 2."""
    try:
        sys.exit(app(prog_name="python -m expertnet", standalone_mode=False))  # None, typer.Exit's, or 130
    except UsageError as error:
        say(usage_sentence(error))
    except UserError as error:
        say(str(error))
    except OSError as error:
        say(os_error_sentence(error))
    except typer.Abort:  # Ctrl-C in older versions of typer
        sys.exit(130)
    sys.exit(2)
