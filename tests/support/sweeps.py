"""Sweeps whose trials take no training: their accuracies are a known function of their values."""

import math
from collections.abc import Callable
from typing import Any

from streamlit.testing.v1 import AppTest

from expertnet.settings.schema import Settings
from expertnet.store.queue import RunQueue
from expertnet.store.run import Run
from expertnet.store.run_store import RunStore
from expertnet.sweeps.engine import advance, start_sweep
from expertnet.sweeps.plan import Budget, Plan
from expertnet.sweeps.space import parse_space
from expertnet.sweeps.sweep import Sweep
from expertnet.utils.files import to_json
from tests.support.small import settings

EPOCHS = 4


def plan(*vary: str, budget: Budget | None = None, **values: object) -> Plan:
    """Return a plan with trials of EPOCHS epochs. `values` are fields of the plan."""
    base = settings(**{"training.epochs": EPOCHS})
    space = parse_space(vary or ("training.lr=1e-4..1e-1:log", "model.num_experts=1..3"))
    return Plan.model_validate(
        {"settings": base, "space": space, "budget": budget or Budget(trials=6), "pruner": "none"} | values
    )


def started(store: RunStore, *vary: str, **values: Any) -> Sweep:
    return start_sweep(store, plan(*vary, **values))


def peak(values: Settings) -> float:
    """Return an accuracy that is best at a learning rate of 0.01."""
    return 0.9 - 0.1 * abs(math.log10(values.training.lr) + 2)


def train(
    run: Run, accuracy: Callable[[Settings], float] = peak, after_epoch: Callable[[], object] = lambda: None
) -> None:
    """Finish a run as a training would, unless it is asked to stop. The accuracy rises by a tenth in each epoch."""
    RunQueue(run.path.parent).remove(run.id)
    epochs, last = run.settings().training.epochs, accuracy(run.settings())
    for epoch in range(run.status().epoch + 1, epochs + 1):
        value = last - 0.1 * (epochs - epoch)
        with (run.path / "metrics.jsonl").open("a") as file:
            file.write(to_json({"epoch": epoch, "val_accuracy": value}) + "\n")
        figures = {"epoch": epoch, "epochs": epochs, "best_val_accuracy": value, "seconds": 10.0 * epoch}
        run.write_status(run.written_status().changed(state="running", **figures))
        after_epoch()
        if run.stop_asked():
            run.forget_stop()
            run.write_status(run.written_status().changed(state="stopped"))
            return
    run.write_status(run.written_status().changed(state="finished", test_accuracy=last))


def done(sweep: Sweep, accuracy: Callable[[Settings], float] = peak) -> Sweep:
    """Train the trials of a sweep until it ends."""
    while runs := advance(sweep):
        for run in runs:
            train(run, accuracy, after_epoch=lambda: advance(sweep))
    return sweep


# --- what a page shows -------------------------------------------------------------------------------------------------


def text(test: AppTest) -> str:
    shown = (*test.markdown, *test.caption, *test.info, *test.warning, *test.error)
    return " ".join(part.value for part in shown).replace("\\", "")


def labels(test: AppTest) -> list[str]:
    return [button.label for button in test.button]


def click(test: AppTest, label: str) -> None:
    next(button for button in test.button if button.label == label).click().run()
