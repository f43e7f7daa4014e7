"""`expertnet controls`: train the controls of a run, and say whether its routing improves accuracy."""

from collections.abc import Iterator, Sequence
from typing import Annotated

import pandas as pd
import typer

from expertnet.cli.options import Json, RunName, RunsDir, open_store
from expertnet.cli.output import aligned, print_result, records, say
from expertnet.cli.train import EpochPrinter, stop_on_signals
from expertnet.errors import RunError, SettingsError
from expertnet.store.run import Run
from expertnet.store.run_store import RunStore
from expertnet.store.status import Status
from expertnet.utils.processes import this_process
from expertnet.utils.text import counted

LOOK_EVERY = 1.0  # seconds between two looks at a training in another process


def controls(
    run: RunName,
    seeds: Annotated[int, typer.Option(metavar="N", help="Trainings of each network, from the run's own seed.")] = 3,
    margin: Annotated[
        float, typer.Option(metavar="POINTS", help="Difference in accuracy within which networks count as equivalent.")
    ] = 0.5,
    validation: Annotated[
        bool, typer.Option("--validation", help="Compare the accuracy on the validation images, not the test set.")
    ] = False,
    kind: Annotated[
        list[str] | None,
        typer.Option(
            "--kind",
            metavar="KIND",
            help="Also train another kind of network: kernels, top_1, odconv, deviation, sigmoid. May be repeated.",
        ),
    ] = None,
    queue: Annotated[bool, typer.Option("--queue", help="Only queue the runs. A running studio trains them.")] = False,
    runs_dir: RunsDir = None,
    as_json: Json = False,
) -> None:
    """Train a run again without learned routing, and compare.

    Ctrl-C stops and keeps the completed epochs. The same command continues where it was, and trains nothing twice.
    """
    from expertnet.findings.controls import retrained, runs_of_controls
    from expertnet.network.controls import NAMES
    from expertnet.training.controls import plan_controls, queue_controls

    if not 0 < margin < 100:
        raise SettingsError(f"--margin must be greater than 0 and less than 100 points. You entered {margin:g}.")
    store, kinds = open_store(runs_dir), kind or ()
    found, failed = store.resolve(run, trained=True), False
    if validation and found.watches_test:
        raise RunError(f"Run {found.title} held out no validation images. Leave out --validation.")
    for own in plan_controls(found, store, seeds, kinds).itself:
        say(f"Left out {NAMES[own]}: run {found.title} is such a network itself.")
    if queue:
        queued = queue_controls(found, store, seeds, kinds)
        say(
            f"Added {counted(len(queued), 'run')} to the queue. A running studio trains the queue. Without one, use the same "
            "command without --queue."
        )
    else:
        failed = _train(found, store, seeds, kinds)
    plan = plan_controls(found, store, seeds, kinds)
    finding = retrained(plan, margin / 100, "validation" if validation else "test")
    runs = runs_of_controls(plan)
    document = {
        "run": found.id,
        "seeds": plan.seeds,
        "finished": sum(trial.finished for trial in plan.distinct),
        "planned": len(plan.distinct),
        "measured_on": "validation" if validation else "test",
        "margin": margin / 100,
        "sentence": finding.sentence if finding else None,
        "controls": records(finding.table) if finding else [],
        "runs": records(runs.table),
    }
    print_result(as_json, document, _lines(finding.table, finding.sentence) if finding else [runs.sentence])
    if failed:
        raise typer.Exit(1)


def _train(run: Run, store: RunStore, seeds: int, kinds: Sequence[str]) -> bool:
    """Train what is missing, one run after another, until all is done or Ctrl-C. Returns whether a training failed."""
    from expertnet.network.controls import NAMES
    from expertnet.training.controls import next_control, plan_controls
    from expertnet.training.lock import train_in_turn
    from expertnet.training.notice import send_controls_notice

    stop, failed, trained = stop_on_signals(), False, False
    begun = {trial.settings for trial in plan_controls(run, store, seeds, kinds).active}
    while not stop.is_set() and (found := next_control(run, store, seeds, this_process().beating(), begun, kinds)):
        trial, control = found
        begun.add(trial.settings)
        trained = True
        title = f"{NAMES[trial.arm]}, seed {trial.seed}"
        say(f"{title}: run {control.id}")
        status = train_in_turn(
            control,
            stop.part(),  # a user may stop this training alone
            on_progress=EpochPrinter("test" if control.watches_test else "validation"),
            on_wait=lambda: say("Waiting in the queue: another run is training, or the queue is paused."),
        )
        while status.active and not stop.wait(LOOK_EVERY):  # another process trains it
            status = control.status() if control.path.is_dir() else Status(state="stopped")
        if status.state == "failed":
            failed = True
            say(status.error or "Training failed.")
        elif status.state != "finished" and not stop.is_set():
            say(f"Left out {title}: its run is {status.state}. To train it, use the same command again.")
    if trained and not stop.is_set():
        send_controls_notice(run, say)
    return failed


def _lines(table: pd.DataFrame, sentence: str) -> Iterator[str]:
    """Yield the comparison as lines of a table, then its sentence."""
    from expertnet.findings.controls import brief

    shown = brief(table).drop(columns="routing")
    shown.insert(1, "seeds", table["seeds"].astype(str))
    shown["seconds"] = table["seconds"].map("{:.0f}".format).where(table["seconds"].notna(), "")
    shown["multiply-adds"] = table["multiply_adds"].map("{:,}".format)
    rows = [tuple(shown), *shown.itertuples(index=False)]
    yield from aligned(rows)
    yield sentence
