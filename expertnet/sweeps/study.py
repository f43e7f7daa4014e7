"""The search of a sweep by Optuna (ask and tell), with a journal file in the sweep's folder, or in a database.

Optuna proposes values and judges trials. It never says whether a trial is alive: that is for the trial's run to say.
"""

import random
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from importlib.util import find_spec
from itertools import islice, product
from typing import Any

from expertnet.errors import RunError, SettingsError
from expertnet.sweeps.database import VARIABLE, NoJournal, explained, open_database
from expertnet.sweeps.journal import JOURNAL, Journal, open_storage, repair
from expertnet.sweeps.plan import Plan
from expertnet.sweeps.space import combinations
from expertnet.sweeps.sweep import Sweep
from expertnet.utils.home import install_command

HIDDEN = "hidden"  # attribute of a trial that trains nothing: a repetition, or one that a kill left without a run
LISTED = 20_000  # combinations that are looked through for one that was not tried
STARTUP = 8  # trials at random before TPE learns from them
# Finished trials, and the share of the epochs, but at least two, before the median prunes (docs/benchmarks.md#the-reports-questions)
PRUNE_AFTER, PRUNE_FROM = 4, 0.25


def require_optuna() -> Any:
    """Return Optuna, without its messages. Raises SettingsError with the command that installs it."""
    try:
        import optuna
    except ImportError:
        raise SettingsError(
            f"Sweeps need the package Optuna, which is not installed. Run '{install_command('optuna')}', then try again."
        ) from None
    if optuna.logging.get_verbosity() != optuna.logging.ERROR:  # setting it takes longer
        optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


class Study:
    """Optuna's study of a sweep. Use it only within open_study(), which locks it."""

    def __init__(self, sweep: Sweep) -> None:
        optuna = require_optuna()
        self._state = optuna.trial.TrialState
        self.plan = sweep.plan()
        self.storage: Any
        self._journal: Journal | NoJournal
        if self.plan.database:
            self.storage, self._journal = open_database(self.plan.database), NoJournal()
        else:
            self.storage, self._journal = open_storage(sweep.path / JOURNAL)
        self._journal.is_current = False
        same: dict[str, Any] = {"storage": self.storage, "study_name": sweep.id, "pruner": _pruner(self.plan)}
        try:  # not load_if_exists, which would add a line to the journal each time
            self.study = optuna.load_study(**same)
        except KeyError:
            self.study = optuna.create_study(direction="maximize", **same)
        for trial in self.open():
            if "run" not in trial.user_attrs:  # a kill left it half made
                self._hide(trial)

    def flush(self) -> None:
        """Write the journal. Call it before anything takes effect that the journal must know after a kill."""
        try:
            self._journal.flush()
        except OSError:
            open_storage.cache_clear()  # it knows what is not in the file
            raise

    # -- trials

    def trials(self) -> list[Any]:
        """Return the trials in order, without hidden ones."""
        return [trial for trial in self.study.get_trials(deepcopy=False) if self._is_shown(trial)]

    def open(self) -> list[Any]:
        """Return the trials that have not ended."""
        return [trial for trial in self.trials() if trial.state == self._state.RUNNING]

    def _is_shown(self, trial: Any) -> bool:
        return trial.state != self._state.WAITING and HIDDEN not in trial.user_attrs

    def note(self, trial: Any, **attributes: Any) -> Any:
        """Write attributes of a trial that has not ended, and return the trial as it is now."""
        for name, value in attributes.items():
            self.storage.set_trial_user_attr(self._id(trial), name, value)
        return self._now(trial)

    def _now(self, trial: Any) -> Any:
        return self.storage.get_trial(self._id(trial))

    def _id(self, trial: Any) -> int:
        study_id = self.storage.get_study_id_from_name(self.study.study_name)
        found: int = self.storage.get_trial_id_from_study_id_trial_number(study_id, trial.number)
        return found

    # -- asking

    def ask(self) -> Any:
        """Return a new trial with its values in `params` by dotted key; None if every combination was tried.

        What is drawn depends only on the plan and on the trials so far, so a resumed sweep draws what it would have drawn anyway.
        """
        known = self.study.get_trials(deepcopy=False)
        tried = {_frozen(trial.params) for trial in known if HIDDEN not in trial.user_attrs and trial.params}
        distributions = {dimension.key: dimension.distribution() for dimension in self.plan.space}
        seed = (self.plan.seed * 1_000_003 + len(known)) % 2**32
        self.study.sampler = _sampler(self.plan, seed)
        if self.plan.sampler != "grid":
            trial = self.study.ask(distributions)
            if _frozen(trial.params) not in tried:
                return self._now(trial)
            self._hide(trial)  # deterministic, so that it would train the same network again
        values = self._untried(tried, random.Random(seed))
        if values is None:
            return None
        # A kill may have left these values waiting. Trials that a kill has hidden do not count, so no skip_if_exists.
        if not any(trial.state == self._state.WAITING for trial in known):
            self.study.enqueue_trial(values)
        return self._now(self.study.ask(distributions))

    def _untried(self, tried: set[Any], chance: random.Random) -> dict[str, Any] | None:
        """Return a combination that was not tried: the next one of a grid, else one at random."""
        space = self.plan.space
        if self.plan.sampler == "grid" or combinations(space) <= LISTED:
            every = (
                dict(zip((d.key for d in space), values, strict=True)) for values in product(*(d.values for d in space))
            )
            left = (values for values in every if _frozen(values) not in tried)
            found = list(islice(left, 1 if self.plan.sampler == "grid" else LISTED))
            return chance.choice(found) if found else None
        drawn = ({d.key: d.draw(chance) for d in space} for _ in range(LISTED))
        return next((values for values in drawn if _frozen(values) not in tried), None)

    def _hide(self, trial: Any) -> None:
        self.note(trial, **{HIDDEN: True})
        self.study.tell(trial.number, state=self._state.FAIL)

    # -- telling

    def report(self, trial: Any, accuracies: Mapping[int, float]) -> bool:
        """Tell the accuracy after each epoch, and return whether there was a new one."""
        new = {epoch: value for epoch, value in accuracies.items() if epoch not in trial.intermediate_values}
        self._journal.can_be_restored = True  # from the history of the run
        for epoch, value in sorted(new.items()):
            self.storage.set_trial_intermediate_value(self._id(trial), epoch, value)
        self._journal.can_be_restored = False
        return bool(new)

    def should_prune(self, trial: Any) -> bool:
        return bool(self.study.pruner.prune(self.study, self._now(trial)))

    def tell(self, trial: Any, accuracy: float | None, pruned: bool = False) -> None:
        """End a trial with its accuracy, as pruned, or as failed without one."""
        if pruned and self._now(trial).intermediate_values:
            self.study.tell(trial.number, state=self._state.PRUNED)
        elif accuracy is not None and not pruned:
            self.study.tell(trial.number, accuracy)
        else:
            self.study.tell(trial.number, state=self._state.FAIL)


@contextmanager
def open_study(sweep: Sweep) -> Iterator[Study]:
    """Yield the study of a sweep, locked against other threads and processes.

    Raises RunError if its journal is damaged or its database cannot be used.
    """
    database = sweep.plan().database
    with sweep.locked(), explained(database) if database else nullcontext():
        repair(sweep.path / JOURNAL)
        try:
            study = Study(sweep)
        except (AssertionError, KeyError, TypeError, ValueError) as error:
            raise RunError(
                f"The {JOURNAL} of sweep {sweep.id} is damaged ({type(error).__name__}). Its runs are intact. Start a new sweep."
            ) from None
        try:
            yield study
        finally:
            study.flush()


def dashboard_command(sweep: Sweep) -> str:
    """Return the command that opens Optuna's dashboard on the study of a sweep; "" if the package is not installed."""
    if not find_spec("optuna_dashboard"):
        return ""
    study = f'"${VARIABLE}"' if sweep.plan().database else shlex.quote(str((sweep.path / JOURNAL).resolve()))
    return f"optuna-dashboard {study}"


def _sampler(plan: Plan, seed: int) -> Any:
    from optuna.samplers import RandomSampler, TPESampler

    if plan.sampler == "tpe":
        return TPESampler(seed=seed, n_startup_trials=STARTUP)
    return RandomSampler(seed=seed)


def _pruner(plan: Plan) -> Any:
    from optuna.pruners import MedianPruner, NopPruner, SuccessiveHalvingPruner

    if plan.pruner == "median":
        warm_up = max(round(plan.settings.training.epochs * PRUNE_FROM), 2)
        return MedianPruner(n_startup_trials=PRUNE_AFTER, n_warmup_steps=warm_up)
    return SuccessiveHalvingPruner() if plan.pruner == "halving" else NopPruner()


def _frozen(values: Mapping[str, Any]) -> frozenset[tuple[str, Any]]:
    return frozenset(values.items())
