"""Whether a sweep of 30 trials finds what a whole grid finds, in a third of its epochs, on the digits.

    python -m benchmarks.sweeps [--seeds 3]

For each seed (of the trainings and of the search), the grid trains all 54 combinations to their end. The sweep has 30 trials and
a third of the grid's epochs, over the continuous range of the learning rate. Both are compared by the validation accuracy of
their best, and, for what it is worth, by its test accuracy. The share of the search is that of the time, in which the disk counts, and
that of the CPU time, which other programs do not change.
"""

import argparse
import tempfile
import time
from pathlib import Path
from unittest.mock import patch

import numpy as np

from benchmarks.earlier import QUICK
from expertnet.settings.fields import build_settings
from expertnet.store.run import Run
from expertnet.store.run_store import RunStore
from expertnet.sweeps import search
from expertnet.sweeps.engine import advance, start_sweep
from expertnet.sweeps.plan import Budget, Plan
from expertnet.sweeps.space import combinations, parse_space
from expertnet.sweeps.sweep import Sweep
from expertnet.sweeps.trials import best_trials, trials_of
from expertnet.training.stop import Stop
from expertnet.utils.processes import this_process

EPOCHS = 6  # of a trial
BASE = QUICK | {
    "model.num_blocks": 2,
    "model.pool_after": (1,),
    "data.image_size": 8,
    "data.crop_padding": 1,
    "data.validation_share": 0.3,  # 434 images: with fewer, chance would decide
    "training.epochs": EPOCHS,
    "hardware.device": "cpu",
}
KINDS = ("model.num_experts=2,3,4", "model.channels=8,16,32")
GRID = ("training.lr=3e-4,1e-3,3e-3,1e-2,3e-2,1e-1", *KINDS)
RANGE = ("training.lr=3e-4..1e-1:log", "model.num_experts=2..4", "model.channels=8..32:step=8")


def clocks() -> np.ndarray:
    """Return the seconds of the wall clock, and those of CPU time of this process."""
    return np.array([time.perf_counter(), time.process_time()])


def searched(sweep: Sweep) -> tuple[float, float, int, np.ndarray, np.ndarray]:
    """Train a sweep. Returns the best accuracies on validation and test set, the epochs, the clocks, and those of the search."""
    began, searching = clocks(), np.zeros(2)

    def advance_timed(sweep: Sweep) -> list[Run]:
        nonlocal searching
        started = clocks()
        try:
            return advance(sweep)
        finally:
            searching += clocks() - started

    with patch.object(search, "advance", advance_timed):
        search.search(sweep, Stop())
    trials = trials_of(sweep)
    (best,) = best_trials([trial for trial in trials if trial.state == "finished"])
    assert best.run is not None and best.accuracy is not None
    test = best.run.status().test_accuracy or 0.0
    return best.accuracy, test, sum(trial.epoch for trial in trials), clocks() - began, searching


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds")
    parser.add_argument("--first", type=int, default=0, help="first seed")
    arguments = parser.parse_args()
    third = int(combinations(parse_space(GRID))) * EPOCHS // 3
    print(
        "| seed | search | trials | epochs | best validation | its test | seconds | of them searching | of the CPU time |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for seed in range(arguments.first, arguments.first + arguments.seeds):
        base = build_settings("quick", "digits", BASE | {"seed": seed})
        for name, space, budget, pruner in (
            ("grid", GRID, Budget(trials=1000), "none"),
            ("tpe", RANGE, Budget(trials=30, epochs=third), "median"),
        ):
            with tempfile.TemporaryDirectory() as folder:
                plan = Plan.model_validate(
                    {"settings": base, "space": parse_space(space), "budget": budget, "sampler": name}
                    | {"pruner": pruner, "seed": seed}
                )
                sweep = start_sweep(RunStore(Path(folder)), plan, this_process().beating())
                best, test, epochs, seconds, searching = searched(sweep)
                wall, busy = searching / seconds
                count = len(trials_of(sweep))
            print(
                f"| {seed} | {name} | {count} | {epochs} | {best:.2%} | {test:.2%} | {seconds[0]:.0f} | {wall:.1%} | {busy:.1%} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
