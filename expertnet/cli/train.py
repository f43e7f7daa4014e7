"""`expertnet train`: a new run, or an old one resumed."""

from __future__ import annotations

import signal
from typing import Annotated

import typer

from expertnet.cli.options import Json, RunsDir, open_store
from expertnet.cli.output import give, say
from expertnet.data.builtin import BUILTIN
from expertnet.data.custom import scan
from expertnet.errors import SettingsError
from expertnet.settings.fields import build_settings, parse_assignments
from expertnet.settings.presets import DEFAULT_PRESET, PRESETS
from expertnet.store.status import Status
from expertnet.utils.text import counted, percent


def train(
    preset: Annotated[
        str | None,
        typer.Option(help=f"Where the settings start from: {', '.join(PRESETS)} (default: {DEFAULT_PRESET})."),
    ] = None,  # which tells a preset that was given from none
    dataset: Annotated[
        str | None, typer.Option(help="A built-in dataset, or the path of a folder or archive of class folders.")
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
            scan(settings.data)  # own images that cannot be used leave no run behind
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
    if resume is None and status.state == "stopped" and run.path.is_dir() and not (run.path / "resume.pt").exists():
        run.move_to_trash()
        say("It was stopped before it began, so there is nothing to keep of it.")
    metrics = run.metrics()
    last = metrics[-1] if metrics else None
    document = {
        "run": run.id,
        "state": status.state,
        "epochs": status.epoch,
        "val_accuracy": last["val_accuracy"] if last else None,
        "best_val_accuracy": status.best_val_accuracy,
        "test_accuracy": status.test_accuracy,
        "test_accuracy_mirrored": status.test_accuracy_mirrored,
        "images_per_second": last["images_per_second"] if last else None,
        "seconds": status.seconds,
        "device": status.device,
    }
    give(
        as_json,
        document,
        lambda: [
            f"{status.state} after {counted(status.epoch, 'epoch')}",
            *([f"test accuracy {status.test_accuracy:.2%}"] if status.test_accuracy is not None else []),
        ],
    )
    if status.state == "failed":
        say(status.error or "")
        raise typer.Exit(1)


class EpochPrinter:
    """A training's progress on standard error: each activity before its first step, then each whole epoch."""

    def __init__(self, watched: str) -> None:
        self.watched, self.activity = watched, ""
        self.epoch: int | None = None  # until the first step, the status has the epoch of an earlier training

    def __call__(self, status: Status) -> None:
        epoch, activity = status.epoch, status.activity
        if self.epoch is None and activity == "Training":
            self.epoch = epoch
            if epoch:
                say(f"Going on after epoch {epoch}")
        elif self.epoch is None and activity != self.activity:
            self.activity = activity
            say(activity)
        elif self.epoch not in (None, epoch):
            self.epoch = epoch
            speed = status.images_per_second
            say(
                f"epoch {epoch}/{status.epochs}  loss {status.train_loss_now or float('nan'):.4f}  "
                f"{self.watched} accuracy {percent(status.val_accuracy or 0, 2)}"
                + (f"  {speed:.0f} images/s" if speed else "")
            )
