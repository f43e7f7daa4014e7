"""How much each setting matters, against Optuna's own study of the same trials."""

import random

import optuna
import pytest

from expertnet.sweeps.importance import TOP, importances
from expertnet.sweeps.space import parse_space


@pytest.mark.slow
def test_the_importance_is_that_of_a_study_of_the_trials():
    space = tuple(
        parse_space(["training.lr=1e-4..1e-1:log", "model.num_experts=1..4", "training.optimizer=adamw,sgd,muon"])
    )
    chance = random.Random(0)
    trials = [
        ((10 ** chance.uniform(-4, -1), chance.randint(1, 4), chance.choice(["adamw", "sgd", "muon"])), chance.random())
        for _ in range(60)
    ]
    trials += trials[:20]  # as resampling repeats them
    study = optuna.create_study(direction="maximize")
    distributions = {dimension.key: dimension.distribution() for dimension in space}
    for values, accuracy in trials:
        params = dict(zip(distributions, values, strict=True))
        study.add_trial(optuna.trial.create_trial(params=params, distributions=distributions, value=accuracy))
    evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=TOP)
    expected = optuna.importance.get_param_importances(study, evaluator=evaluator)
    table = importances(space, tuple(trials))
    labels = {dimension.field.label: dimension.key for dimension in space}
    found = {labels[row["setting"]]: row["share"] for row in table.to_dict("records")}
    assert found == pytest.approx(expected, rel=1e-12) and len(set(found.values())) == 3
