"""Train the controls of a run: the same network without learned routing, and networks without experts at the same cost.

Other kinds of networks of experts are trained and compared likewise, but only those that are asked for.

A control has the run's images, recipe and budget. It is recognized by its settings and its images alone, so that a run that is
already there is never trained again, whoever trained it. An included run has the controls that were trained for it in its own
folder: their settings and results, without weights.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache

from expertnet.data.custom import refuse_changed_images
from expertnet.data.info import DatasetInfo
from expertnet.errors import RunError, SettingsError
from expertnet.network.controls import ARMS, CONTROLS, KINDS, NAMES, arm_settings
from expertnet.settings.fields import settings_from_dict
from expertnet.settings.schema import Settings
from expertnet.settings.seeds import seeds_from
from expertnet.store.queue import RunQueue
from expertnet.store.rows import RunRow, settings_key
from expertnet.store.run import Run
from expertnet.store.run_store import RunStore
from expertnet.training.known import best_rows, resumed
from expertnet.training.start import refuse_unfit
from expertnet.training.trackers.start import require_trackers
from expertnet.utils.files import file_lock
from expertnet.utils.processes import Process
from expertnet.utils.text import cut

SEEDS, MAX_SEEDS = 3, 30  # by default, and at most
TAG = "control"
LONGEST = 30  # characters of the run's title in the names of its controls


@dataclass(frozen=True)
class Trial:
    """One training of the plan: an arm and a seed, and the run that did it or will."""

    arm: str
    seed: int
    settings: Settings
    row: RunRow | None  # None if it has not been started

    @property
    def state(self) -> str:
        return self.row.state if self.row else "missing"

    @property
    def finished(self) -> bool:
        return self.row is not None and self.row.state == "finished" and self.row.test is not None

    @property
    def is_open(self) -> bool:
        """Return whether nothing trains it or will: it is missing, or was cut off."""
        return self.row is None or not (self.finished or self.row.active)


@dataclass(frozen=True)
class Plan:
    """All trainings that compare a run with its controls, seed by seed."""

    run: Run
    info: DatasetInfo
    trials: tuple[Trial, ...]
    itself: tuple[str, ...] = ()  # the kinds that were asked for and that the run's own network is of

    @property
    def seeds(self) -> list[int]:
        return list(dict.fromkeys(trial.seed for trial in self.trials))

    @property
    def distinct(self) -> list[Trial]:
        """The trials without repetition: two controls with equal settings are one training."""
        return list({trial.settings: trial for trial in self.trials}.values())

    @property
    def open(self) -> list[Trial]:
        return [trial for trial in self.distinct if trial.is_open]

    @property
    def active(self) -> list[Trial]:
        """The trials that wait or train now."""
        return [trial for trial in self.distinct if trial.row and trial.row.active]

    @property
    def begun(self) -> bool:
        """Return whether any control was ever started."""
        return any(trial.row for trial in self.trials if trial.arm in CONTROLS)


# --- the plan --------------------------------------------------------------------------------------------------------


def plan_controls(run: Run, store: RunStore, seeds: int = SEEDS, kinds: Sequence[str] = ()) -> Plan:
    """Return what compares a finished run with its controls, with the runs of the store that did it already.

    The first seed is the run's own. KINDS are planned if they are in `kinds`; of the others, only trainings that are done, wait
    or run are part of the plan. Raises RunError if the run cannot have controls, or SettingsError for a wrong number of seeds or
    an unknown kind.
    """
    if not 1 <= seeds <= MAX_SEEDS:
        raise SettingsError(f"The number of seeds must be between 1 and {MAX_SEEDS}. You entered {seeds}.")
    if unknown := [kind for kind in kinds if kind not in KINDS]:
        raise SettingsError(f"There is no kind of network called {unknown[0]}. Choose from {', '.join(KINDS)}.")
    settings, info = _checked(run)
    itself, wanted = _wanted(settings, seeds, len(info.classes))
    rows = best_rows(run, {key for *_, key in wanted}, info, store)
    trials = [Trial(arm, seed, planned, rows.get(key)) for arm, seed, planned, key in wanted]
    kept = tuple(trial for trial in trials if trial.arm in (*ARMS, *kinds) or not trial.is_open)
    return Plan(run, info, kept, tuple(kind for kind in itself if kind in kinds))


@lru_cache(maxsize=32)
def _wanted(settings: Settings, seeds: int, num_classes: int) -> tuple[list[str], list[tuple[str, int, Settings, str]]]:
    """Return the kinds that a network is itself, and the arm, seed, settings and settings_key of each training.

    Raises SettingsError if the settings do not fit an arm, before a run has them that cannot be read.
    """
    arms = {arm: settings_from_dict(arm_settings(settings, arm, num_classes).model_dump()) for arm in NAMES}
    itself = [kind for kind in KINDS if arms[kind] == settings]
    wanted = [
        (arm, seed, arms[arm].model_copy(update={"seed": seed}))
        for seed in seeds_from(settings.seed, seeds)
        for arm in arms
        if arm not in itself
    ]
    return itself, [(arm, seed, planned, settings_key(planned)) for arm, seed, planned in wanted]


def begun_plan(run: Run, store: RunStore) -> Plan | None:
    """Return the plan of the seeds of which a control was ever started; None without any. Raises RunError as plan_controls does."""
    plan = plan_controls(run, store, MAX_SEEDS)
    begun = {trial.seed for trial in plan.trials if trial.row and trial.arm in CONTROLS}
    trials = tuple(trial for trial in plan.trials if trial.seed in begun)
    return Plan(run, plan.info, trials) if trials else None


def _checked(run: Run) -> tuple[Settings, DatasetInfo]:
    """Return the settings and the images of a run. Raises RunError unless it is finished and has learned routing."""
    settings, status, info = run.settings(), run.status(), run.dataset_info()
    if settings.model.num_experts == 1:
        raise RunError(
            f"Run {run.title} has one expert per block, so there is no routing to compare with controls. "
            "Choose a run with several experts."
        )
    if settings.model.routing != "learned":
        raise RunError(
            f"Run {run.title} has no learned routing (`model.routing` is {settings.model.routing}): it is a control itself. "
            "Choose a run with learned routing."
        )
    if settings.model.start_from:
        raise RunError(
            f"Run {run.title} started from the weights of another run (`model.start_from`), which networks without experts cannot. "
            "Choose a run that started with random weights."
        )
    if status.state != "finished" or status.test_accuracy is None or info is None:
        why = "has no test accuracy" if status.state == "finished" else f"is {status.state}"
        raise RunError(
            f"Run {run.title} {why}. Controls are compared with the test accuracy that a run has once it is finished."
        )
    return settings, info


# --- training --------------------------------------------------------------------------------------------------------


def queue_controls(run: Run, store: RunStore, seeds: int = SEEDS, kinds: Sequence[str] = ()) -> list[Run]:
    """Queue every training that is missing or was cut off, for any server of the store, and return these runs.

    Raises as plan_controls does, and UserError if the images are gone or the memory is too small. Nothing is queued then.
    """
    with _planning(store):
        plan = plan_controls(run, store, seeds, kinds)
        _refuse(plan)
        return [_queue(plan, trial, store) for trial in plan.open]


def next_control(
    run: Run, store: RunStore, seeds: int, owner: Process, begun: Collection[Settings] = (), kinds: Sequence[str] = ()
) -> tuple[Trial, Run] | None:
    """Return the next training to do, queued for `owner`, or else one that waits or trains; None if there is none left.

    Those in `begun` are not queued again: they have failed, or a user has stopped or deleted them. Raises as queue_controls does.
    """
    with _planning(store):
        plan = plan_controls(run, store, seeds, kinds)
        wanted = [trial for trial in plan.distinct if trial.arm in (*ARMS, *kinds) and not trial.finished]
        trial = next((trial for trial in wanted if trial.is_open and trial.settings not in begun), None)
        if trial is not None:
            _refuse(plan)
            return trial, _queue(plan, trial, store, owner)
        return next(((trial, trial.row.run) for trial in wanted if trial.row and trial.row.active), None)


@contextmanager
def _planning(store: RunStore) -> Iterator[None]:
    """Keep other processes and threads from planning the same training twice."""
    store.root.mkdir(parents=True, exist_ok=True)
    with file_lock(store.root / "controls.lock"):
        yield


def _refuse(plan: Plan) -> None:
    refuse_changed_images(plan.run.settings().data, plan.info)
    for trial in plan.open:
        require_trackers(trial.settings)
        refuse_unfit(trial.settings, len(plan.info.classes))


def _queue(plan: Plan, trial: Trial, store: RunStore, owner: Process | None = None) -> Run:
    told = True if owner else plan.run.id  # a command tells when it has trained them all
    if run := resumed(trial.row):
        run.write_config(run.config() | {"trial": told})
    else:
        name = f"{cut(plan.run.title, LONGEST)}: {NAMES[trial.arm]}, seed {trial.seed}"
        run = store.create(trial.settings, plan.run.preset, name, plan.info, tags=(TAG,), trial=told)
    RunQueue(store.root).add(run.id, owner)
    return run
