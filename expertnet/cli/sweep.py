"""`expertnet sweep`: search for settings with many short trainings. Long, because it declares the options of eight commands."""

from collections.abc import Iterator
from typing import Annotated, Any

import pandas as pd
import typer

from expertnet.cli.options import Json, RunsDir, open_store
from expertnet.cli.output import aligned, print_result, records, say
from expertnet.cli.train import EpochPrinter, stop_on_signals
from expertnet.errors import SettingsError
from expertnet.settings.fields import build_settings, parse_assignments
from expertnet.settings.presets import DEFAULT_PRESET, PRESETS
from expertnet.settings.schema import format_value
from expertnet.store.queue import RunQueue
from expertnet.store.run import Run
from expertnet.sweeps.plan import PRUNERS, SAMPLERS, Budget, Plan
from expertnet.sweeps.space import parse_space
from expertnet.sweeps.sweep import Sweep, all_sweeps, find_sweep
from expertnet.utils.processes import renewing, this_process
from expertnet.utils.text import counted, percent

app = typer.Typer(invoke_without_command=True, no_args_is_help=False)
SweepName = Annotated[str, typer.Argument(metavar="SWEEP", help='ID of a sweep, a unique prefix of one, or "latest".')]
Trials = Annotated[int | None, typer.Option(metavar="N", help="Budget: end after N trials.")]
Hours = Annotated[
    float | None, typer.Option(metavar="H", help="Budget: end after H hours of training, all trials together.")
]
Epochs = Annotated[int | None, typer.Option(metavar="N", help="Budget: end after N epochs, all trials together.")]
Queue = Annotated[bool, typer.Option("--queue", help="Leave the training to a running studio.")]


@app.callback()
def sweep(
    context: typer.Context,
    vary: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUES",
            help="What varies: training.lr=1e-4..1e-2:log, model.num_experts=2..5, model.channels=32..128:step=16, "
            "or training.optimizer=adamw,muon. May be repeated. report: the five settings that the report's author set by hand.",
        ),
    ] = None,
    trials: Trials = None,
    hours: Hours = None,
    epochs: Epochs = None,
    sampler: Annotated[str, typer.Option(metavar="NAME", help=f"How to search: {', '.join(SAMPLERS)}.")] = "tpe",
    pruner: Annotated[
        str, typer.Option(metavar="NAME", help=f"What stops bad trials early: {', '.join(PRUNERS)}.")
    ] = "median",
    seed: Annotated[
        int, typer.Option(metavar="N", help="Seed of the search. The seed of the trials is --set seed=N.")
    ] = 0,
    preset: Annotated[str, typer.Option(metavar="NAME", help=f"Preset: {', '.join(PRESETS)}.")] = DEFAULT_PRESET,
    dataset: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|PATH", help="Built-in dataset, one of yours, or a folder or archive of class folders."
        ),
    ] = None,
    assignments: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Setting that all trials share.")
    ] = None,
    name: Annotated[str, typer.Option(metavar="TEXT", help="Name of the sweep.")] = "",
    queue: Queue = False,
    runs_dir: RunsDir = None,
    as_json: Json = False,
) -> None:
    """Search for good settings. Each trial is a run of its own.

    Ctrl-C stops. 'expertnet sweep resume' continues and trains no trial twice.
    """
    if context.invoked_subcommand is not None:
        return
    from expertnet.sweeps.engine import start_sweep

    for kind, chosen, known in (("sampler", sampler, SAMPLERS), ("pruner", pruner, PRUNERS)):
        if chosen not in known:
            raise SettingsError(f"There is no {kind} {chosen[:40]!r}. Choose one of {', '.join(known)}.")
    if not 0 <= seed < 2**31:
        raise SettingsError(f"--seed must be between 0 and {2**31 - 1}. You entered {seed}.")
    plan = Plan(
        name=name,
        preset=preset,
        settings=build_settings(preset, dataset, parse_assignments(assignments or [])),
        space=parse_space(vary or []),
        budget=Budget(trials=trials, hours=hours, epochs=epochs),
        sampler=sampler,  # type: ignore[arg-type]
        pruner=pruner,  # type: ignore[arg-type]
        seed=seed,
    )
    found = start_sweep(open_store(runs_dir, creates=True), plan, None if queue else this_process().beating())
    _go(found, queue, as_json)


@app.command()
def resume(
    name: SweepName,
    trials: Trials = None,
    hours: Hours = None,
    epochs: Epochs = None,
    queue: Queue = False,
    runs_dir: RunsDir = None,
    as_json: Json = False,
) -> None:
    """Resume a sweep, or give it a larger budget."""
    from expertnet.sweeps.engine import resume_sweep

    found = find_sweep(open_store(runs_dir), name)
    resume_sweep(found, Budget(trials=trials, hours=hours, epochs=epochs), None if queue else this_process().beating())
    _go(found, queue, as_json)


@app.command()
def stop(name: SweepName, runs_dir: RunsDir = None) -> None:
    """Stop a sweep and its trials.

    It may run in another process. Completed epochs are kept.
    """
    from expertnet.sweeps.engine import stop_sweep

    found = find_sweep(open_store(runs_dir), name)
    stop_sweep(found)
    say(f"Stopping {found.title}. 'expertnet sweep resume {found.id}' resumes it.")


@app.command()
def delete(name: SweepName, runs_dir: RunsDir = None) -> None:
    """Delete a sweep permanently. Its runs stay.

    An active sweep must be stopped first. If the trials are in a database, the study stays there.
    """
    from expertnet.sweeps.deletion import delete_sweep, study_stays

    found = find_sweep(open_store(runs_dir), name)
    said = f"Deleted {found.title}. Its runs stay. {study_stays(found)}"
    delete_sweep(found)
    say(said.strip())


@app.command()
def show(name: SweepName = "latest", runs_dir: RunsDir = None, as_json: Json = False) -> None:
    """Print the trials of a sweep."""
    _print(find_sweep(open_store(runs_dir), name), as_json)


@app.command("list")
def list_(runs_dir: RunsDir = None, as_json: Json = False) -> None:
    """List the sweeps, newest first."""
    found = all_sweeps(open_store(runs_dir))
    rows = [
        {"sweep": sweep.id, "name": sweep.title, "state": sweep.status().state, "budget": sweep.plan().budget.text}
        for sweep in found
    ]
    lines = [f"{row['sweep']}  {row['state']:<11}  {row['budget']:<22}  {row['name']}" for row in rows]
    print_result(as_json, rows, lines or ["No sweeps yet. Start one with 'expertnet sweep --vary …'."])


@app.command()
def longer(
    name: SweepName,
    epochs: Annotated[int, typer.Argument(metavar="EPOCHS", help="Epochs of the new run.")],
    queue: Queue = False,
    runs_dir: RunsDir = None,
    as_json: Json = False,
) -> None:
    """Train the best trial for more epochs.

    This is a new run, with the schedule of so many epochs.
    """
    from expertnet.sweeps.follow_up import train_longer

    found = find_sweep(open_store(runs_dir), name)
    run = train_longer(found, epochs, None if queue else this_process().beating())
    failed = not queue and _train(found, [run])
    status = run.status()
    line = f"Run {run.id}: {status.state}, test accuracy {percent(status.test_accuracy, 2)}"
    print_result(as_json, {"run": run.id, "state": status.state, "test_accuracy": status.test_accuracy}, [line])
    if failed:
        raise typer.Exit(1)


@app.command()
def seeds(
    name: SweepName,
    best: Annotated[int, typer.Option(metavar="N", help="How many of the best trials.")] = 3,
    number: Annotated[
        int, typer.Option("--seeds", metavar="N", help="Trainings of each, with the sweep's own one.")
    ] = 5,
    queue: Queue = False,
    runs_dir: RunsDir = None,
    as_json: Json = False,
) -> None:
    """Train the best trials with several seeds.

    The table compares them. Nothing is trained twice.
    """
    from expertnet.sweeps.follow_up import queue_repeats, repeats, repeats_table

    found = find_sweep(open_store(runs_dir), name)
    runs = queue_repeats(found, best, number, None if queue else this_process().beating())
    failed = not queue and _train(found, runs)
    table = repeats_table(repeats(found, best, number))
    print_result(
        as_json,
        records(table),
        _lines(found, table, ("in the sweep", "validation", "validation sd", "test", "test sd")),
    )
    if failed:
        raise typer.Exit(1)


# --- training --------------------------------------------------------------------------------------------------------


def _train(found: Sweep, runs: list[Run]) -> bool:
    """Train runs in order, until Ctrl-C, and return whether one failed.

    Those that still wait stay in the queue for as long as this takes.
    """
    from expertnet.training.lock import train_in_turn

    stop, failed = stop_on_signals(), False
    with renewing(RunQueue(found.store.root).renew):
        for run in runs:
            say(f"Run {run.id}: {run.title}")
            status = train_in_turn(run, stop.part(), on_progress=EpochPrinter("validation"))
            if status.state == "failed":
                say(status.error or "Training failed.")
                failed = True
    return failed


def _go(found: Sweep, queue: bool, as_json: bool) -> None:
    """Train the trials until the budget is spent or Ctrl-C, then print them."""
    say(f"Sweep {found.id}")
    if queue:
        say("A running studio trains it. Without one, use the same command without --queue.")
    else:
        _search(found)
    state = _print(found, as_json)
    if state == "failed":
        raise typer.Exit(1)


def _search(found: Sweep) -> None:
    from expertnet.store.status import Status
    from expertnet.sweeps.search import search

    def on_trial(run: Run) -> None:
        varied = ", ".join(f"{d.key}={format_value(_value(run, d.key))}" for d in found.plan().space)
        say(f"{run.title.partition(' of ')[0]}: {varied}")

    def on_end(status: Status) -> None:
        accuracy = f"validation accuracy {percent(status.best_val_accuracy, 2)}"
        say(f"  {status.state} after {counted(status.epoch, 'epoch')}, {accuracy}")

    search(found, stop_on_signals(), on_trial=on_trial, on_end=on_end, on_wait=lambda: say("Waiting in the queue."))


def _value(run: Run, key: str) -> Any:
    from expertnet.settings.fields import get_value

    return get_value(run.settings(), key)


# --- output ----------------------------------------------------------------------------------------------------------


def _print(found: Sweep, as_json: bool) -> str:
    """Print the trials, and return the state of the sweep."""
    from expertnet.sweeps.trials import best_trials, trial_table, trials_of

    trials, status = trials_of(found), found.status()
    table, best = trial_table(trials), best_trials(trials)
    document = {
        "sweep": found.id,
        "name": found.title,
        "state": status.state,
        "reason": status.reason,
        "best": best[0].number if best else None,
        "trials": records(table),
    }
    lines: list[str] = []
    if trials:
        lines += _lines(found, table.drop(columns=["error"]), ("accuracy",))
    why = f": {status.reason}" if status.reason else ""
    lines.append(f"{status.state.capitalize()}{why}.")
    if best:
        accuracy = f"{percent(best[0].accuracy, 2)} of the validation images"
        lines.append(f"The best is trial {best[0].number} with {accuracy}: run {best[0].run_id}.")
    print_result(as_json, document, lines)
    return status.state


def _lines(found: Sweep, table: pd.DataFrame, shares: tuple[str, ...]) -> Iterator[str]:
    """Yield a table on a sweep as lines. `shares` are its columns of percentages."""
    from expertnet.sweeps.trials import value_text

    table = table.assign(**{drawn.key: table[drawn.key].map(value_text) for drawn in found.plan().space})
    rows = [[str(column) for column in table]]
    for record in records(table):
        rows.append(
            [
                percent(value, 2) if key in shares else "–" if value is None else format_value(value)
                for key, value in record.items()
            ]
        )
    yield from aligned(rows)
