"""`expertnet train`: a new run, or a resumed one."""

import os
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from expertnet.cli.options import Json, RunsDir, open_store
from expertnet.cli.output import ActivityPrinter, print_result, say
from expertnet.data.custom import refuse_unusable
from expertnet.errors import SettingsError
from expertnet.settings.fields import build_settings, parse_assignments
from expertnet.settings.presets import DEFAULT_PRESET, PRESETS
from expertnet.settings.schema import Settings
from expertnet.store.queue import RunQueue
from expertnet.store.run import Run
from expertnet.store.run_store import RunStore
from expertnet.store.status import TRAINING, Status
from expertnet.store.trash import move_to_trash
from expertnet.training.stop import Stop
from expertnet.utils.home import quoted
from expertnet.utils.processes import this_process
from expertnet.utils.text import counted, percent


def train(
    preset: Annotated[
        str | None, typer.Option(metavar="NAME", help=f"Preset: {', '.join(PRESETS)} (default: {DEFAULT_PRESET}).")
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|PATH", help="Built-in dataset, one of yours, or a folder or archive of class folders."
        ),
    ] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Setting, such as training.lr=0.001. See 'expertnet settings'."
        ),
    ] = None,
    name: Annotated[str, typer.Option(metavar="TEXT", help="Name of the run.")] = "",
    resume: Annotated[
        str | None, typer.Option(metavar="RUN", help="Resume this run from its last completed epoch.")
    ] = None,
    runs_dir: RunsDir = None,
    as_json: Json = False,
) -> None:
    """Train a network. Ctrl-C stops training and keeps the completed epochs."""
    store, values = open_store(runs_dir, creates=resume is None), parse_assignments(assignments or [])
    stop = stop_on_signals()  # before there is a run that a signal could leave unfinished
    several = "TORCHELASTIC_RUN_ID" in os.environ  # torchrun started this process, and others
    if several:
        values["hardware.processes"] = os.environ["WORLD_SIZE"]
    if resume is None:
        settings = build_settings(DEFAULT_PRESET if preset is None else preset, dataset, values)
        begin = partial(_create, store, settings, preset or DEFAULT_PRESET, name)
    elif dataset is not None or preset is not None or name or set(values) - {"training.epochs", "hardware.processes"}:
        raise SettingsError(
            "--resume keeps the settings of the run. Only --set training.epochs and hardware.processes can be added."
        )
    else:
        settings = store.resolve(resume).settings()
        begin = partial(_resume, store, resume, values)
    run, status = _train_with_others(store, settings, begin, stop) if several else _train_in_turn(store, begin, stop)
    if resume is None and status.state == "stopped" and run.path.is_dir() and not (run.path / "resume.pt").exists():
        move_to_trash(run)
        say("Stopped before training started. The run is in the trash.")
    lines = [f"{status.state.capitalize()} after {counted(status.epoch, 'epoch')}"]
    if status.test_accuracy is not None:
        lines.append(f"Test accuracy {percent(status.test_accuracy, 2)}")
    print_result(as_json, _document(run, status), lines)
    if not several and (advice := _advice(run, status, runs_dir)):
        say(advice)
    failed = status.state == "failed"
    if failed:
        say(status.error or "")
    if several:
        os._exit(failed)  # as Python ends, gloo's threads may abort the process (pytorch/pytorch issue 190489)
    if failed:
        raise typer.Exit(1)


def _train_in_turn(store: RunStore, begin: Callable[[], Run], stop: Stop) -> tuple[Run, Status]:
    from expertnet.training.lock import train_in_turn

    run = begin()
    RunQueue(store.root).add(run.id, this_process().beating())
    say(f"Run {run.id}")
    status = train_in_turn(
        run,
        stop,
        on_progress=EpochPrinter("test" if run.watches_test else "validation"),
        on_wait=lambda: say(
            "Waiting in the queue: another run is training, or the queue is paused. Ctrl-C leaves the queue."
        ),
    )
    return run, status


def _train_with_others(store: RunStore, settings: Settings, begin: Callable[[], Run], stop: Stop) -> tuple[Run, Status]:
    """Train as one of the processes that torchrun started. Only the first one returns."""
    from expertnet.training.lock import held
    from expertnet.training.rank import follow, join_launched
    from expertnet.training.runner import run_training, settled

    group, place = join_launched(settings)
    if group.number:
        run_id = group.agree("")
        if run_id:
            follow(group, store.get(run_id), place)
        os._exit(0)
    run = begin()
    say(f"Run {run.id}")
    printer = EpochPrinter("test" if run.watches_test else "validation")
    with held(run, stop) as ended:
        group.agree("" if ended else run.id)
        if ended:
            return run, ended
        status = run_training(run, stop, on_progress=printer, place=place, group=group, settle=False)
    return run, settled(run, status)


def _create(store: RunStore, settings: Settings, preset: str, name: str) -> Run:
    from expertnet.training.start import check_can_start

    refuse_unusable(settings.data)  # images that cannot be used leave no run behind
    check_can_start(settings, store)  # knows now how many images there are
    return store.create(settings, preset, name)


def _resume(store: RunStore, name: str, values: dict[str, Any]) -> Run:
    from expertnet.training.start import prepare_resume

    run = store.resolve(name)
    processes = values.pop("hardware.processes", None)
    prepare_resume(run, build_settings(overrides=values).training.epochs if values else None, processes)
    return run


def _advice(run: Run, status: Status, runs_dir: Path | None) -> str:
    """Say why a run ended early, or which command resumes a stopped one, or trains one enough that took too few steps; else ""."""
    from expertnet.findings.outcome import needs_more, outcome
    from expertnet.training.early_stop import early_end
    from expertnet.training.pace import enough_epochs, more_epochs

    resume = quoted(["expertnet", "train", "--resume", run.id, *(["--runs-dir", str(runs_dir)] if runs_dir else [])])
    if status.state != "finished":
        can_resume = status.state == "stopped" and (run.path / "resume.pt").exists()
        return f"'{resume}' resumes it." if can_resume else ""
    settings, info = run.settings(), run.dataset_info()
    ended = settings, run.preset, status, len(info.classes) if info else 0
    if not needs_more(*ended):
        return early_end(settings.training, run.metrics()) if status.ended_early else ""
    if status.ended_early:
        return f"{outcome(*ended)} Start a new run with a higher `training.max_minutes` or `training.patience`, which ended this one."
    epochs = more_epochs(settings.training.epochs, enough_epochs(status.steps))
    return f"{outcome(*ended)} Use '{resume} --set training.epochs={epochs}'."


def _document(run: Run, status: Status) -> dict[str, Any]:
    metrics = run.metrics()
    return {
        "run": run.id,
        "state": status.state,
        "epochs": status.epoch,
        "val_accuracy": metrics[-1]["val_accuracy"] if metrics else None,
        "best_val_accuracy": status.best_val_accuracy,
        "test_accuracy": status.test_accuracy,
        "test_accuracy_mirrored": status.test_accuracy_mirrored,
        "test_accuracy_views": status.test_accuracy_views,
        "images_per_second": metrics[-1]["images_per_second"] if metrics else None,
        "seconds": status.seconds,
        "device": status.device,
    }


def stop_on_signals() -> Stop:
    """Return what Ctrl-C or a termination sets from now on."""
    from expertnet.training.process import interrupt_or_exit

    stop = Stop()
    signal.signal(signal.SIGINT, lambda *_: stop.set())
    signal.signal(signal.SIGTERM, lambda *_: interrupt_or_exit(stop))
    return stop


class EpochPrinter:
    """Print each activity before training starts, then each completed epoch.

    `watched` names the set that val_accuracy is measured on.
    """

    def __init__(self, watched: str) -> None:
        self.watched, self.activities = watched, ActivityPrinter()
        self.epoch: int | None = None  # until training starts, the status has the epoch of an earlier training

    def __call__(self, status: Status) -> None:
        if self.epoch is None and status.activity != TRAINING:
            self.activities(status.activity)
        elif self.epoch is None:
            self.epoch = status.epoch
            if status.epoch:
                say(f"Resuming after epoch {status.epoch}")
        elif status.epoch != self.epoch:
            self.epoch = status.epoch
            speed = status.images_per_second
            say(
                f"Epoch {status.epoch}/{status.epochs}  loss {status.train_loss_now or float('nan'):.4f}  "
                f"{self.watched} accuracy {percent(status.val_accuracy or 0, 2)}"
                + (f"  {speed:.0f} images/s" if speed else "")
            )
