"""Measure what routing contributes where the answer is known: python -m benchmarks.planted [--seeds 3] [--data D ...]

Trains a small network on `contexts`, where the class depends on the ground, and on `shapes`, where it does not, with the variants
of benchmarks.accuracy. Prints its tables, and which ground goes to which expert in the networks with learned routing. The same
command resumes after an interruption.
"""

import argparse
import os
import sys

from benchmarks import rows
from benchmarks.accuracy import VARIANTS, measure
from expertnet.data import planted
from expertnet.errors import UserError
from expertnet.findings import factors
from expertnet.inference.routing_cache import load_own_test_set, route_test_set
from expertnet.routing.lab import open_lab
from expertnet.settings.fields import build_settings, parse_assignments
from expertnet.store.run import Run

CHANGES = [  # the windows of the last block have 14 pixels, and the shape is 9 pixels or more from the ground
    "model.num_blocks=3",
    "model.pool_after=1",
    "model.channels=16",
    "model.reduction=1",
    "model.expert_blocks=2",
    "training.epochs=14",
    "training.batch_size=64",
    "training.optimizer=muon",
    "training.lr=0.01",
    "training.decay_all=false",
]


def sentences(run: Run) -> list[str]:
    """Return what the lab says about the factors that the routing of a run follows."""
    info = run.dataset_info()
    assert info is not None
    lab = open_lab(route_test_set(run, load_own_test_set(run)), info.classes)
    dataset = run.settings().data.dataset
    found = [factors.factors(lab, dataset), *(factors.values(lab, dataset, block) for block in lab.block_numbers)]
    return [finding.sentence for finding in found if finding is not None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3, help="how many, from seed 0")
    parser.add_argument("--data", choices=planted.CLASSES, nargs="+", default=list(planted.CLASSES))
    parser.add_argument("--variant", choices=VARIANTS, nargs="+", default=["learned", "uniform", "width", "gates"])
    parser.add_argument("--threads", type=int, help="processor threads of a new training (default: all)")
    options = parser.parse_args()
    if options.threads:
        os.environ["OMP_NUM_THREADS"] = str(options.threads)
    found = []
    for data in options.data:
        settings = build_settings("quick", data, parse_assignments(CHANGES))
        file = rows.RESULTS / f"accuracy-planted-{data}.jsonl"
        try:
            store = measure(settings, "quick", options.variant, options.seeds, file, CHANGES)
        except UserError as error:
            sys.exit(str(error))
        found += rows.read(file)
        learned = [run for run in store.list() if run.given_name == "learned" and run.state == "finished"]
        for run in sorted(learned, key=lambda run: run.settings().seed):
            print(f"{data}, learned, seed {run.settings().seed}:", *sentences(run), sep="\n  ")
    print(rows.tables(found))


if __name__ == "__main__":
    main()
