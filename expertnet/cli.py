"""The command line: what the browser does, without it.

In this module: the commands train, settings and runs, and main, which turns every error into one sentence and an exit status (0 done,
1 some of it failed, 2 nothing could be done, 130 for Ctrl-C). The commands for trained networks are in cli_networks.py; how
it is said stands in terminal.py.
"""

from __future__ import annotations

import signal
import sys
from typing import Annotated

import typer

from expertnet.cli_networks import Json, RunsDir, networks, open_store
from expertnet.data.builtin import BUILTIN
from expertnet.data.custom import look
from expertnet.errors import SettingsError, UserError
from expertnet.settings.fields import build_settings, flat, parse_assignments, setting_fields
from expertnet.settings.presets import DEFAULT_PRESET, PRESETS
from expertnet.settings.schema import format_value
from expertnet.terminal import EpochPrinter, UsageError, give, run_lines, say, usage_sentence
from expertnet.utils.files import os_error_sentence
from expertnet.utils.text import counted

app = typer.Typer(
    help="Train networks of experts, and see where each picture is routed.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


app.add_typer(networks)


@app.command()
def train(
    preset: Annotated[
        str | None,
        typer.Option(help=f"Where the settings start from: {', '.join(PRESETS)} (default: {DEFAULT_PRESET})."),
    ] = None,  # which tells a preset that was given from none
    dataset: Annotated[
        str | None, typer.Option(help="A built-in data set, or the path of a folder or archive of class folders.")
    ] = None,
    assignments: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A setting, such as training.lr=0.001.")
    ] = None,
    name: Annotated[str, typer.Option(help="What to call the run.")] = "",
    resume: Annotated[
        str | None, typer.Option(metavar="RUN", help="Go on with this run after its last whole epoch.")
    ] = None,
    runs_dir: RunsDir = None,
    as_json: Json = False,
) -> None:
    """Train a network; Ctrl-C stops it and keeps its last whole epoch."""
    from expertnet.training.lock import train_in_turn
    from expertnet.training.manager import prepare_resume, refuse_what_cannot_start
    from expertnet.training.runner import Stop
    from expertnet.training.worker import end_in_time

    store, values, stop = open_store(runs_dir, creates=resume is None), parse_assignments(assignments or []), Stop()
    signal.signal(signal.SIGINT, lambda *_: stop.set())  # before there is a run that it could leave unfinished
    signal.signal(signal.SIGTERM, lambda *_: end_in_time(stop))
    if resume is not None:
        if dataset is not None or preset is not None or name or set(values) - {"training.epochs"}:
            raise SettingsError(
                "--resume goes on with the settings of its run; beside it only --set training.epochs can be given."
            )
        run = store.resolve(resume)
        epochs = build_settings(overrides=values).training.epochs if values else None
        prepare_resume(run, epochs)
    else:
        preset = DEFAULT_PRESET if preset is None else preset
        settings = build_settings(preset, dataset, values)
        refuse_what_cannot_start(settings)
        if settings.data.dataset not in BUILTIN:
            look(settings.data)  # own pictures that cannot be used leave no run behind
        run = store.create(settings, preset, name)
    say(f"Run {run.id}")
    status = train_in_turn(
        run,
        stop,
        on_progress=EpochPrinter("test" if run.watches_test else "validation"),
        on_wait=lambda: say(
            "It waits in the queue: another training runs, or the queue is paused. Ctrl-C takes it out."
        ),
    )
    if resume is None and status["state"] == "stopped" and run.path.is_dir() and not (run.path / "resume.pt").exists():
        run.move_to_trash()
        say("It was stopped before it began, so there is nothing to keep of it.")
    metrics = run.metrics()
    last = metrics[-1] if metrics else {}
    document = {
        "run": run.id,
        "state": status["state"],
        "epochs": status["epoch"],
        "val_accuracy": last.get("val_accuracy"),
        "best_val_accuracy": status["best_val_accuracy"],
        "test_accuracy": status["test_accuracy"],
        "test_accuracy_mirrored": status["test_accuracy_mirrored"],
        "images_per_second": last.get("images_per_second"),
        "seconds": status["seconds"],
        "device": status["device"],
    }
    give(
        as_json,
        document,
        lambda: [
            f"{status['state']} after {counted(status['epoch'], 'epoch')}",
            *([f"test accuracy {status['test_accuracy']:.2%}"] if status["test_accuracy"] is not None else []),
        ],
    )
    if status["state"] == "failed":
        say(status["error"])
        raise typer.Exit(1)


@app.command()
def settings(
    preset: Annotated[str, typer.Option(help="Whose values are shown: " + ", ".join(PRESETS) + ".")] = DEFAULT_PRESET,
    as_json: Json = False,
) -> None:
    """List the settings that --set takes, with a preset's values.

    Beside each stands what it accepts.
    """
    values = flat(build_settings(preset))
    rows = [
        {"setting": field.key, "value": values[field.key], "takes": field.allowed, "help": field.help}
        for field in setting_fields()
    ]
    written = [f"{row['setting']}={format_value(row['value'])}" for row in rows]
    width = max(map(len, written))
    give(as_json, rows, lambda: [f"{words:<{width}}  {row['takes']}" for words, row in zip(written, rows, strict=True)])


@app.command()
def runs(runs_dir: RunsDir = None, as_json: Json = False) -> None:
    """List the runs, newest first."""
    rows, found = [], open_store(runs_dir).list()
    for run in found:
        status, metrics, info = run.status(), run.metrics(), run.dataset_info()
        rows.append(
            {
                "run": run.id,
                "name": run.title,
                "state": status["state"],
                "epochs": status["epoch"],
                "val_accuracy": metrics[-1].get("val_accuracy") if metrics else None,
                "best_val_accuracy": status["best_val_accuracy"],
                "test_accuracy": status["test_accuracy"],
                "created": run.created or None,
                "dataset": info.name if info else None,
            }
        )
    give(as_json, rows, lambda: run_lines(found))


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
