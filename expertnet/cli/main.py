"""The program `expertnet`: its commands, and how it ends."""

import io
import sys
from typing import Annotated

import typer

from expertnet import __version__
from expertnet.cli import (
    controls,
    data,
    data_check,
    evaluate,
    export_run,
    import_run,
    predict,
    routing,
    runs,
    serve,
    serve_model,
    settings,
    sweep,
    train,
)
from expertnet.cli.output import UsageError, say, usage_sentence
from expertnet.errors import UserError
from expertnet.utils.files import os_error_sentence

app = typer.Typer(
    help="Train networks of experts and see where each image is routed.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback(invoke_without_command=True)
def program(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
) -> None:
    if version:
        print(f"expertnet {__version__}")
    elif context.invoked_subcommand is None:
        context.fail("Missing command.")


for name, command in (
    ("train", train.train),
    ("settings", settings.settings),
    ("runs", runs.runs),
    ("evaluate", evaluate.evaluate),
    ("predict", predict.predict),
    ("routing", routing.routing),
    ("controls", controls.controls),
    ("export", export_run.export),
    ("import", import_run.import_),
    ("serve", serve.serve),
    ("serve-model", serve_model.serve_model),
):
    app.command(name)(command)
app.add_typer(sweep.app, name="sweep")
data.data.command("check")(data_check.check)
data.data.command("split")(data_check.split)
app.add_typer(data.data, name="data")


def main() -> None:
    """Run a command and exit: 0 done, 1 partly done, 2 nothing done, 130 after Ctrl-C.

    An error that users can fix is printed on standard error, without a traceback.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # its encoding may lack characters of a name
            stream.reconfigure(errors="replace")
    try:
        sys.exit(app(prog_name="expertnet", standalone_mode=False))  # None, the status of typer.Exit, or 130
    except UsageError as error:
        say(usage_sentence(error))
    except UserError as error:
        say(str(error))
    except OSError as error:
        say(os_error_sentence(error))
    except typer.Abort:  # Ctrl-C in older versions of typer
        sys.exit(130)
    sys.exit(2)
