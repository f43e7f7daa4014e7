"""What comes after a sweep: train the best trial longer, and the best trials with several seeds.

A sweep picks the best of many, partly by luck. Other seeds show how much of it was luck. The best trials are those of best_trials(), as in
the table of the sweep. A training is recognized by its settings and its images, so none is done twice.
"""

from dataclasses import dataclass
from statistics import mean, stdev

import pandas as pd

from expertnet.data.info import DatasetInfo
from expertnet.errors import RunError, SettingsError
from expertnet.settings.schema import Settings
from expertnet.settings.seeds import seeds_from
from expertnet.store.notes import SWEEP_TAG
from expertnet.store.queue import RunQueue
from expertnet.store.rows import RunRow, settings_key
from expertnet.store.run import Run
from expertnet.sweeps.engine import LONGEST
from expertnet.sweeps.space import settings_with
from expertnet.sweeps.sweep import Sweep
from expertnet.sweeps.trials import Trial, best_trials, trials_of
from expertnet.training.known import best_rows, resumed
from expertnet.training.start import check_can_start
from expertnet.utils.processes import Process
from expertnet.utils.text import counted, cut

BEST, SEEDS, MOST = 3, 5, 30  # trials and seeds by default, and the most of each


@dataclass(frozen=True)
class Repeat:
    """A trial with one seed, and the run that did it or will; None if there is none yet."""

    trial: Trial
    settings: Settings
    row: RunRow | None

    @property
    def finished(self) -> bool:
        return self.row is not None and self.row.state == "finished"

    @property
    def is_open(self) -> bool:
        """Return whether nothing trains it or will."""
        return self.row is None or not (self.finished or self.row.active)


def train_longer(sweep: Sweep, epochs: int, owner: Process | None = None) -> Run:
    """Queue a new run of the best trial's settings with more epochs, or return the run that has them already.

    Raises RunError if no trial has ended, SettingsError if `epochs` are not more, and as check_can_start() does.
    """
    (best,) = _best(sweep, 1)
    settings = settings_with(sweep.plan().settings, best.values)
    if epochs <= settings.training.epochs:
        raise SettingsError(
            f"The settings of the best trial have {settings.training.epochs} epochs already. Enter more. You entered {epochs}."
        )
    longer = settings_with(settings, {"training.epochs": epochs})
    with sweep.locked("repeats"):
        (again,) = _repeats(sweep, best, [longer])
        if again.row and not again.is_open:
            return again.row.run
        return _queue(sweep, again, counted(epochs, "epoch"), owner)


def repeats(sweep: Sweep, best: int = BEST, seeds: int = SEEDS) -> list[Repeat]:
    """Return the best trials with each seed, from the sweep's own seed on. Raises SettingsError or RunError."""
    for name, number in (("trials", best), ("seeds", seeds)):
        if not 1 <= number <= MOST:
            raise SettingsError(f"The number of {name} must be between 1 and {MOST}. You entered {number}.")
    base = sweep.plan().settings
    found: list[Repeat] = []
    for trial in _best(sweep, best):
        wanted = [settings_with(base, trial.values | {"seed": seed}) for seed in seeds_from(base.seed, seeds)]
        found += _repeats(sweep, trial, wanted)
    return found


def queue_repeats(sweep: Sweep, best: int = BEST, seeds: int = SEEDS, owner: Process | None = None) -> list[Run]:
    """Queue every training of repeats() that is missing or was cut off, and return these runs.

    Raises as repeats() and check_can_start() do.
    """
    with sweep.locked("repeats"):
        missing = [repeat for repeat in repeats(sweep, best, seeds) if repeat.is_open]
        return [_queue(sweep, repeat, f"seed {repeat.settings.seed}", owner) for repeat in missing]


def repeats_table(found: list[Repeat]) -> pd.DataFrame:
    """Return a row per trial: how many seeds have finished, and the mean and standard deviation of their accuracies."""
    table = []
    for number in dict.fromkeys(repeat.trial.number for repeat in found):
        own = [repeat for repeat in found if repeat.trial.number == number]
        rows = [repeat.row for repeat in own if repeat.row and repeat.finished]
        validation = [row.best for row in rows if row.best is not None]
        test = [row.test for row in rows if row.test is not None]
        table.append(
            {"trial": number}
            | own[0].trial.values
            | {
                "in the sweep": own[0].trial.accuracy,
                "seeds": len(rows),
                "validation": mean(validation) if validation else None,
                "validation sd": stdev(validation) if len(validation) > 1 else None,
                "test": mean(test) if test else None,
                "test sd": stdev(test) if len(test) > 1 else None,
            }
        )
    return pd.DataFrame(table)


def _best(sweep: Sweep, count: int) -> list[Trial]:
    found = best_trials(trials_of(sweep), count)
    if not found:
        raise RunError(f"No trial of sweep {sweep.title} has ended yet.")
    return found


def _repeats(sweep: Sweep, trial: Trial, wanted: list[Settings]) -> list[Repeat]:
    """Return the trainings of a trial's images with these settings."""
    keys = [settings_key(settings) for settings in wanted]
    rows = best_rows(trial.run, keys, _images(trial), sweep.store)
    return [Repeat(trial, settings, rows.get(key)) for key, settings in zip(keys, wanted, strict=True)]


def _images(trial: Trial) -> DatasetInfo | None:
    return trial.run.dataset_info() if trial.run else None


def _queue(sweep: Sweep, repeat: Repeat, what: str, owner: Process | None) -> Run:
    """Queue a training on the images of its trial, or queue it again if it was cut off."""
    own = _images(repeat.trial)
    check_can_start(repeat.settings, sweep.store, own, sweep.start)
    run = resumed(repeat.row)
    if run is None:
        name = f"Trial {repeat.trial.number}, {what} of {cut(sweep.title, LONGEST)}"
        run = sweep.store.create(repeat.settings, sweep.plan().preset, name, own, start=sweep.start, tags=(SWEEP_TAG,))
    RunQueue(sweep.store.root).add(run.id, owner)
    return run
