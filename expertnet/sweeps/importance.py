"""How much each setting of a sweep matters, and how sure that is."""

import random
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from expertnet.sweeps.space import Dimension
from expertnet.sweeps.study import require_optuna

FEWEST = 10  # trials
RESAMPLES = 60  # of the trials, for the intervals, and shuffles of their accuracies, for chance
TOP = 0.25  # share of the trials whose values are compared with those of all

Evidence = tuple[tuple[tuple[Any, ...], float], ...]  # per trial: its values, as Optuna has them, and its accuracy


@lru_cache(maxsize=16)
def importances(space: tuple[Dimension, ...], evidence: Evidence) -> pd.DataFrame:
    """Return setting (label), share, low, high (a 90% interval) and by_chance, the most important one first.

    Importance is by PED-ANOVA (Watanabe 2023, arXiv:2304.10255): how far the values of the best quarter of the trials differ
    from those of all. Intervals are by resampling the trials. `by_chance` is how often shuffled accuracies give as much.
    """
    chance = random.Random(0)
    values, accuracies = [list(column) for column in zip(*evidence, strict=True)]
    found = _evaluated(space, values, accuracies)
    resampled = []
    for _ in range(RESAMPLES):
        drawn = chance.choices(range(len(values)), k=len(values))
        resampled.append(_shares(_evaluated(space, [values[i] for i in drawn], [accuracies[i] for i in drawn])))
    shuffled = [
        _evaluated(space, values, chance.sample(accuracies, len(accuracies)))  # breaks every tie to the values
        for _ in range(RESAMPLES)
    ]
    low, high = np.quantile(resampled, [0.05, 0.95], axis=0)
    beaten = (np.array(shuffled) >= found).sum(axis=0)
    table = pd.DataFrame(
        {
            "setting": [dimension.field.label for dimension in space],
            "share": _shares(found),
            "low": np.minimum(low, _shares(found)),
            "high": np.maximum(high, _shares(found)),
            "by_chance": (beaten + 1) / (RESAMPLES + 1),
        }
    )
    return table.sort_values("share", ascending=False, ignore_index=True)


def _shares(found: np.ndarray) -> np.ndarray:
    total = found.sum()
    return found / total if total > 0 else np.full(len(found), 1 / len(found))


def _evaluated(space: Sequence[Dimension], values: list[Any], accuracies: list[float]) -> np.ndarray:
    """Return the importance of each setting, not normalized."""
    optuna = require_optuna()
    distributions = {dimension.key: dimension.distribution() for dimension in space}
    trials = [
        optuna.trial.FrozenTrial(
            number=number,
            state=optuna.trial.TrialState.COMPLETE,
            value=accuracy,
            datetime_start=None,
            datetime_complete=None,
            params=dict(zip(distributions, row, strict=True)),
            distributions=distributions,
            user_attrs={},
            system_attrs={},
            intermediate_values={},
            trial_id=number,
        )
        for number, (row, accuracy) in enumerate(zip(values, accuracies, strict=True))
    ]
    study = optuna.create_study(direction="maximize")
    # study.add_trials() checks and copies each one, which takes ten times as long
    study.get_trials = lambda *_, **__: trials
    evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=TOP)
    found = evaluator.evaluate(study)  # get_param_importances would normalize
    return np.array([found.get(key, 0.0) for key in distributions])
