"""The trials of a sweep as rows, from its journal and its runs."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd

from expertnet.data.custom import known_class_count
from expertnet.errors import SettingsError
from expertnet.network.cost import Estimate, estimate
from expertnet.settings.fields import display_value
from expertnet.settings.schema import Settings
from expertnet.store.run import Run
from expertnet.sweeps.plan import Plan
from expertnet.sweeps.space import settings_with
from expertnet.sweeps.study import open_study
from expertnet.sweeps.sweep import Sweep
from expertnet.training.start import CLASSES_IF_UNKNOWN

CUT = {"pruned": "pruned", "budget": "cut off"}  # states of trials that the sweep stopped


@dataclass(frozen=True)
class Trial:
    """One trial: its values, its run and how far it came."""

    number: int  # from 1
    state: str  # of its run, or pruned, or cut off (the budget was spent)
    values: dict[str, Any]  # by dotted key
    root: Path  # of the store
    run_id: str  # "" if there never was a run
    accuracy: float | None  # the best validation accuracy so far, a fraction
    epoch: int
    epochs: int
    seconds: float
    parameters: int | None  # None if the values do not fit together
    multiply_adds: int | None
    error: str

    @property
    def run(self) -> Run | None:
        """Return the run; None if there never was one, or it was deleted."""
        run = Run(self.root / self.run_id)
        return run if self.run_id and run.path.is_dir() else None

    @property
    def active(self) -> bool:
        return self.state in ("queued", "running", "stopping")

    @property
    def known(self) -> bool:
        """Return whether the trial shows what its values are worth: it ended, and it completed an epoch."""
        return not self.active and self.state != "failed" and self.accuracy is not None


def trials_of(sweep: Sweep) -> list[Trial]:
    """Return the trials of a sweep in order."""
    with open_study(sweep) as study:
        found = study.trials()
    plan, ended = sweep.plan(), _ended(sweep.path)
    for trial in found:
        if trial.number not in ended and trial.state.name != "RUNNING":
            ended[trial.number] = _trial(sweep, plan, trial)
    return [ended.get(trial.number) or _trial(sweep, plan, trial) for trial in found]


@lru_cache(maxsize=4)
def _ended(path: Path) -> dict[int, Trial]:
    """Return the known trials of a sweep that have ended, which change no more, by Optuna's number."""
    return {}


def _trial(sweep: Sweep, plan: Plan, trial: Any) -> Trial:
    noted, run_id = trial.user_attrs, trial.user_attrs.get("run", "")
    run = Run(sweep.store.root / run_id)
    is_open = trial.state.name == "RUNNING" and run_id and run.path.is_dir()
    status = run.status() if is_open else None
    told = {"COMPLETE": "finished", "PRUNED": CUT.get(noted.get("cut", ""), "stopped")}
    failed = "failed" if noted.get("error") else "stopped"
    values = {dimension.key: dimension.typed(trial.params[dimension.key]) for dimension in plan.space}
    settings = _settings(plan, values)
    cost = _cost(settings) if settings else None
    best = max(trial.intermediate_values.values(), default=trial.value)
    return Trial(
        number=trial.number + 1,
        state=status.state if status else told.get(trial.state.name, failed),
        values=values,
        root=sweep.store.root,
        run_id=run_id,
        accuracy=trial.value if trial.state.name == "COMPLETE" else best,
        epoch=status.epoch if status else noted.get("epochs", 0),
        epochs=settings.training.epochs if settings else 0,
        seconds=(status.seconds if status else noted.get("seconds")) or 0.0,
        parameters=cost.parameters if cost else None,
        multiply_adds=cost.multiply_adds if cost else None,
        error=noted.get("error", ""),
    )


def _settings(plan: Plan, values: dict[str, Any]) -> Settings | None:
    try:
        return settings_with(plan.settings, values)
    except SettingsError:
        return None


@lru_cache(maxsize=256)
def _cost(settings: Settings) -> Estimate:
    return estimate(settings, known_class_count(settings.data) or CLASSES_IF_UNKNOWN)


def ranked(trials: list[Trial]) -> list[Trial]:
    """Return the trials by their accuracy, best first; earlier ones first among equals. Those that are not `known` come last.

    Pruned trials come before these: the accuracy of a few epochs is a matter of luck, and at the last one they were worse than others.
    """
    return sorted(trials, key=lambda trial: (not trial.known, trial.state == "pruned", -(trial.accuracy or 0.0)))


def best_trials(trials: list[Trial], count: int = 1) -> list[Trial]:
    """Return the first of the ranked trials that are `known`."""
    return ranked([trial for trial in trials if trial.known])[:count]


def trial_table(trials: list[Trial]) -> pd.DataFrame:
    """Return the trials as a table, with a column per setting that varies."""
    return pd.DataFrame(
        [
            {"trial": trial.number, "state": trial.state, "accuracy": trial.accuracy}
            | trial.values
            | {
                "epochs": trial.epoch,
                "seconds": round(trial.seconds, 1),
                "parameters": trial.parameters,
                "multiply_adds": trial.multiply_adds,
                "run": trial.run_id,
                "error": trial.error,
            }
            for trial in trials
        ]
    )


def value_text(value: Any) -> str:
    """Return a value for users, with three digits if it was drawn from a range."""
    return display_value(float(f"{value:.3g}") if isinstance(value, float) else value)
