"""What advances a sweep: it settles the trials that have ended, prunes, and starts new ones until the budget is spent.

Everything that must survive a kill is on disk before it takes effect: a trial's run has its id in the journal before its
folder exists, and a run's figures are in the journal before the trial counts as ended. So no trial is trained twice.
The module is long because the order of all steps matters, and is seen only in one place.
"""

from contextlib import suppress
from typing import Any

from expertnet.data.custom import refuse_unusable
from expertnet.data.info import DatasetInfo
from expertnet.errors import RunError, SettingsError, UserError
from expertnet.store.checks import resume_fault
from expertnet.store.notes import MAX_NAME, SWEEP_TAG
from expertnet.store.queue import RunQueue
from expertnet.store.run import Run
from expertnet.store.run_store import RunStore, fresh_id
from expertnet.store.status import ACTIVE_STATES
from expertnet.store.trash import trashed
from expertnet.sweeps.database import check_database, database_name
from expertnet.sweeps.plan import Budget, Plan
from expertnet.sweeps.space import settings_with
from expertnet.sweeps.study import Study, open_study, require_optuna
from expertnet.sweeps.sweep import ACTIVE, Sweep, create_sweep
from expertnet.training.start import prepare_resume
from expertnet.training.stop import stop_run
from expertnet.training.trackers.start import require_trackers
from expertnet.utils.processes import Process
from expertnet.utils.text import counted, cut

FAILURES = 10  # trials in a row after which a sweep gives up
RESUMES = 3  # times that a trial whose process died is resumed without a new epoch, before it counts as failed
EXHAUSTED = "every combination was tried"  # why a sweep ended that cannot go on
LONGEST = 40  # characters of the sweep's title in the names of its runs


def advance(sweep: Sweep, slots: int = 1) -> list[Run]:
    """Bring a sweep up to date and keep up to `slots` trials in the queue. Returns the runs that wait or train.

    Call it again whenever one of them has completed an epoch or ended. Any thread of any process may.
    """
    with open_study(sweep) as study:
        status = sweep.written_status()
        if status.state not in ACTIVE:
            return []
        active = [run for trial in study.open() if (run := _settle(sweep, study, trial, status.owner, status.state))]
        study.flush()
        if status.state == "stopping":
            if not active:
                sweep.write_status(state="stopped", owner=None, reason="it was stopped")
            return active
        end = _end_of(sweep, study)
        while end is None and len(active) < slots:
            trial = study.ask()
            if trial is None:
                end = "finished", EXHAUSTED
            else:
                run = _start(sweep, study, trial, status.owner)
                active += [run] if run else []
                end = _end_of(sweep, study)
        if end and not active:
            study.flush()
            sweep.end(*end)
        return active


def start_sweep(store: RunStore, plan: Plan, owner: Process | None = None) -> Sweep:
    """Create a sweep. `owner` is the process that will train the trials; without one, any studio on the store does.

    Raises SettingsError, DatasetError or RunError with what is wrong. Nothing is written then.
    """
    require_optuna()
    plan.checked()
    require_trackers(plan.settings)
    refuse_unusable(plan.settings.data)
    check_database()
    return create_sweep(store, plan.model_copy(update={"database": database_name()}), owner)


def stop_sweep(sweep: Sweep) -> None:
    """Stop a sweep and its trials, in any process. Resuming a sweep resumes them. Raises RunError if it has ended."""
    with open_study(sweep) as study:
        if sweep.status().state not in (*ACTIVE, "interrupted"):
            raise RunError(f"Sweep {sweep.title} is not active: it is {sweep.status().state}.")
        sweep.write_status(state="stopping")
        for trial in study.open():
            run = _run(sweep, trial)
            if run is not None:
                with suppress(RunError):  # it has ended
                    stop_run(run)
    advance(sweep)


def resume_sweep(sweep: Sweep, budget: Budget | None = None, owner: Process | None = None) -> None:
    """Resume a sweep that has ended or was cut off. A limit of `budget` replaces the sweep's.

    `owner` is the process that will train the trials; without one, any studio on the store does. Raises RunError if the
    sweep is active or its budget is spent.
    """
    with open_study(sweep) as study:
        if sweep.active:
            raise RunError(f"Sweep {sweep.title} is already {sweep.status().state}.")
        plan = sweep.plan()
        changes = {name: value for name, value in (budget or Budget()).model_dump().items() if value is not None}
        plan = plan.model_copy(update={"budget": plan.budget.model_copy(update=changes)}).checked()
        trials, epochs, seconds = _used(sweep, study)
        reached = plan.budget.spent(trials, epochs, seconds)
        if reached and not study.open():
            raise RunError(
                f"Sweep {sweep.title} has used its budget of {reached}. Give it more trials, hours or epochs."
            )
        for trial in study.open():
            run = _run(sweep, trial)
            if run is not None and run.state in ("stopped", "interrupted"):
                _go_on(sweep, study, trial, run, owner)
        sweep.write_plan(plan)
        sweep.write_status(state="running", owner=owner, reason="", since=trials)


# --- one trial -------------------------------------------------------------------------------------------------------


def _run(sweep: Sweep, trial: Any) -> Run | None:
    """Return the run of a trial; None if it has none or a user deleted it."""
    run = Run(sweep.store.root / trial.user_attrs.get("run", "-"))
    return run if run.path.is_dir() else None


def _settle(sweep: Sweep, study: Study, trial: Any, owner: Process | None, state: str) -> Run | None:
    """Tell the search how a trial is or ended. Returns its run if that waits or trains, or will again."""
    run = _run(sweep, trial)
    if run is None or not run.has_settings:
        if trial.intermediate_values or any(other.id == trial.user_attrs["run"] for other in trashed(sweep.store)):
            _end(study, trial, error="Its run was deleted." if run is None else "Its config.json is damaged.")
            return None
        return _create(sweep, study, trial, owner) if state == "running" else None  # a kill came before the folder
    news = study.report(
        trial, {row["epoch"]: row["val_accuracy"] for row in run.metrics() if row["val_accuracy"] is not None}
    )
    status = run.status()
    cut_off = trial.user_attrs.get("cut", "")
    if status.active:
        if news and status.training and not cut_off and status.epoch < status.epochs and study.should_prune(trial):
            _cut(study, trial, run, "pruned")
        return run
    if status.state == "finished":
        _end(study, trial, run, accuracy=status.best_val_accuracy)
    elif status.state == "failed":
        _end(study, trial, run, error=status.error or "Training failed.")
    elif cut_off or (status.state == "stopped" and state == "running"):
        _end(study, trial, run, pruned=True)
    elif state == "running":  # its process died
        return _go_on(sweep, study, trial, run, owner)
    return None


def _cut(study: Study, trial: Any, run: Run, why: str) -> None:
    """Stop a trial early, for a reason that is written down first."""
    study.note(trial, cut=why)
    study.flush()
    with suppress(RunError):  # it has ended meanwhile
        stop_run(run)


def _end(
    study: Study,
    trial: Any,
    run: Run | None = None,
    accuracy: float | None = None,
    error: str = "",
    pruned: bool = False,
) -> None:
    status = run.status() if run else None
    if status:
        study.note(trial, epochs=status.epoch, seconds=status.seconds or 0.0)
    if error:
        study.note(trial, error=error)
    study.tell(trial, accuracy, pruned)


def _go_on(sweep: Sweep, study: Study, trial: Any, run: Run, owner: Process | None) -> Run | None:
    """Queue a trial that was cut off again, unless its process dies again and again before it gets further."""
    (times, epoch), status = trial.user_attrs.get("resumed", (0, -1)), run.status()
    times = (times if status.epoch == epoch else 0) + (status.state == "interrupted")  # a user may stop it as often
    fault = resume_fault(run) or ("It was interrupted repeatedly." if times > RESUMES else "")
    if not fault:
        study.note(trial, resumed=(times, status.epoch))
        study.flush()
        try:
            prepare_resume(run)
        except UserError as error:
            fault = str(error)
    if fault:
        _end(study, trial, run, error=fault)
        return None
    RunQueue(sweep.store.root).add(run.id, owner)
    return run


def _start(sweep: Sweep, study: Study, trial: Any, owner: Process | None) -> Run | None:
    """Start a new trial. Returns its run, or None if its settings are invalid."""
    trial = study.note(trial, run=fresh_id())
    try:
        settings_with(study.plan.settings, trial.params)
    except SettingsError as error:  # values that do not fit together
        _end(study, trial, error=str(error))
        return None
    return _create(sweep, study, trial, owner)


def _create(sweep: Sweep, study: Study, trial: Any, owner: Process | None) -> Run:
    study.flush()
    settings = settings_with(study.plan.settings, trial.params)
    name = cut(f"Trial {trial.number + 1} of {cut(sweep.title, LONGEST)}", MAX_NAME)  # tables cut names at the end
    run_id = trial.user_attrs["run"]
    run = sweep.store.create(
        settings,
        study.plan.preset,
        name,
        own=_images(sweep, study, settings.data.image_size),
        run_id=run_id,
        start=sweep.start,
        tags=(SWEEP_TAG,),
        trial=True,
    )
    RunQueue(sweep.store.root).add(run.id, owner)
    return run


def _images(sweep: Sweep, study: Study, size: int) -> DatasetInfo | None:
    """Return the images of the first trial, so that all are compared on the same ones though their folder may change."""
    runs = (run for trial in study.trials() if (run := _run(sweep, trial)))
    return next((own for run in runs if (own := run.dataset_info()) and own.image_size == size), None)


# --- the end of the sweep --------------------------------------------------------------------------------------------


def _end_of(sweep: Sweep, study: Study) -> tuple[str, str] | None:
    """Return how the sweep ends once no trial trains, its state and why; None if it starts further trials.

    Limits on hours and epochs end the trials in the middle too.
    """
    trials, epochs, seconds = _used(sweep, study)
    if study.plan.budget.cuts(epochs, seconds):
        for trial in study.open():
            run = _run(sweep, trial)
            if run and run.state in ACTIVE_STATES and "cut" not in trial.user_attrs:
                _cut(study, trial, run, "budget")
    last = study.trials()[sweep.written_status().since :][-FAILURES:]
    errors = [trial.user_attrs.get("error") for trial in last]
    if len(last) == FAILURES and all(errors):
        return "failed", f"{counted(FAILURES, 'trial')} in a row failed. The last one: {errors[-1]}"
    spent = study.plan.budget.spent(trials, epochs, seconds)
    return ("finished", spent) if spent else None


def _used(sweep: Sweep, study: Study) -> tuple[int, int, float]:
    """Return how many trials were started, and the epochs and seconds that they trained."""
    trials, epochs, seconds = study.trials(), 0, 0.0
    for trial in trials:
        run = _run(sweep, trial) if trial.state.name == "RUNNING" else None
        status = run.status() if run else None
        epochs += status.epoch if status else trial.user_attrs.get("epochs", 0)
        seconds += (status.seconds or 0.0) if status else trial.user_attrs.get("seconds", 0.0)
    return len(trials), epochs, seconds
