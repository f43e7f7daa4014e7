"""Measure what routing contributes where the answer is known: python -m benchmarks.planted [--seeds 3] [--first 10] [--data D ...]

Trains a small network on `contexts`, where the class depends on the background, and on `shapes`, where it does not, and the controls
of both. Prints what the lab says: whether routing improves accuracy, which factors it follows, and which background goes to which expert.
Then it prints the tables of benchmarks.accuracy. The same command resumes after an interruption. Trainings whose rows are in
benchmarks/results are not repeated: without their networks, which are not kept, only the tables are printed. Remove rows to train again.
A computer with a GPU repeats those of a CPU, such as the recorded ones.
"""

import argparse
import os
import sys

from benchmarks import rows
from benchmarks.accuracy import VARIANTS, measure
from benchmarks.earlier import QUICK
from expertnet.data import planted
from expertnet.errors import UserError
from expertnet.findings import factors
from expertnet.findings.controls import retrained
from expertnet.findings.seeds import learned_runs, measure_each
from expertnet.inference.routing_cache import cached_routing, load_own_test_set, route_test_set
from expertnet.network.controls import ARMS
from expertnet.routing.lab import open_lab
from expertnet.settings.fields import build_settings, parse_assignments
from expertnet.store.run import Run
from expertnet.store.run_store import RunStore
from expertnet.training.controls import plan_controls

CHANGES = [  # the windows of the last block have 14 pixels, and the shape is 9 pixels or more from the background
    "model.num_blocks=3",
    "model.pool_after=1",
    "model.channels=16",
    "model.reduction=1",
    "model.expert_blocks=2,3",
    "training.epochs=10",
    "training.batch_size=64",
    "training.optimizer=muon",
    "training.lr=0.01",
    "training.decay_all=false",
]

FIRST = 10  # the first seed that had no part in the choice of these


def factor_sentences(run: Run) -> list[str]:
    """Return what the lab says about the factors that the routing of a run follows."""
    info = run.dataset_info()
    assert info is not None
    lab = open_lab(cached_routing(run) or route_test_set(run, load_own_test_set(run)), info.classes)
    dataset = run.settings().data.dataset
    found = [factors.factors(lab, dataset), *(factors.values(lab, dataset, block) for block in lab.block_numbers)]
    return [finding.sentence for finding in found if finding is not None]


def control_sentences(run: Run, store: RunStore, seeds: int) -> list[str]:
    """Return what the lab says about the routing of a run against its controls, and about the seeds."""
    plan = plan_controls(run, store, seeds)
    found = [retrained(plan), *(measure_each(learned_runs(plan)) or ())]
    return [finding.sentence for finding in found if finding] or ["No control has been trained."]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3, help="how many")
    parser.add_argument(
        "--first", type=int, default=FIRST, help=f"the first seed (default: {FIRST}; those below chose the recipe)"
    )
    parser.add_argument("--data", choices=planted.CLASSES, nargs="+", default=list(planted.CLASSES))
    parser.add_argument("--variant", choices=VARIANTS, nargs="+", default=list(ARMS))
    parser.add_argument("--threads", type=int, help="processor threads of a new training (default: all)")
    options = parser.parse_args()
    if options.threads:
        os.environ["OMP_NUM_THREADS"] = str(options.threads)
    found, seeds = list[rows.Row](), range(options.first, options.first + options.seeds)
    for data in options.data:
        settings = build_settings("quick", data, QUICK | parse_assignments(CHANGES))
        file = rows.RESULTS / f"accuracy-planted-{data}.jsonl"
        try:
            store = measure(settings, "quick", options.variant, seeds, file, CHANGES)
        except UserError as error:
            sys.exit(str(error))
        found += [row for row in rows.read(file) if row["seed"] in seeds]
        learned = {
            run.settings().seed: run for run in store.list() if run.given_name == "learned" and run.state == "finished"
        }
        for seed in seeds:
            if seed in learned:
                print(f"{data}, learned, seed {seed}:", *factor_sentences(learned[seed]), sep="\n  ")
        if options.first in learned:
            print(f"{data}:", *control_sentences(learned[options.first], store, options.seeds), sep="\n  ")
    print(rows.tables(found))


if __name__ == "__main__":
    main()
