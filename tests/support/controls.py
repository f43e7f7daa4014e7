"""Runs and controls with given accuracies, which take no training."""

from expertnet.network.controls import KINDS
from expertnet.store.run import Run
from expertnet.store.run_store import RunStore
from expertnet.store.status import Status
from expertnet.training.controls import Plan, plan_controls
from tests.support.lab import COLORS
from tests.support.opening import written


def original(store: RunStore, test: float = 0.9, **settings: object) -> Run:
    """Return a run that finished after 60 seconds, without a network."""
    run = written(store, name="mine", **settings)
    run.write_config(run.config() | {"dataset": COLORS.to_dict()})
    return measured(run, test)


def measured(run: Run, test: float, validation: float = 0.8) -> Run:
    """Finish a run with an accuracy."""
    values = {"state": "finished", "epoch": 3, "epochs": 3, "seconds": 60.0}
    run.write_status(Status().changed(test_accuracy=test, best_val_accuracy=validation, **values))
    return run


def with_controls(run: Run, store: RunStore, accuracies: dict[str, list[float]]) -> Plan:
    """Finish the trainings of each arm with these accuracies, from the first seed on, and return the plan."""
    seeds = max(map(len, accuracies.values()))
    for trial in plan_controls(run, store, seeds, [arm for arm in accuracies if arm in KINDS]).trials:
        tests = accuracies.get(trial.arm, [])
        place = trial.seed - run.settings().seed
        if place < len(tests) and not trial.finished:
            measured(
                store.create(trial.settings, "quick", f"{trial.arm} {trial.seed}", run.dataset_info()), tests[place]
            )
    return plan_controls(run, store, seeds)
