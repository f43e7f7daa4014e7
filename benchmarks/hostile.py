"""Check the app against thousands of hostile inputs: python -m benchmarks.hostile [--cases N] [--kind KIND ...] [--seed S]

Hypothesis generates each kind of input from a seed: images, archives of images, zips of runs, URLs, and runs whose files
are cut at every length or have changed bytes (tests/support/hostile/kinds.py). Prints one row of counts for each kind and
stops at the first case that fails.
"""

import argparse
import json

from tests.support.hostile.kinds import KINDS, SEED, check_kinds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=2000, help="cases of each kind (default: %(default)s)")
    parser.add_argument("--kind", action="append", choices=KINDS, help="only this kind; may be repeated")
    parser.add_argument("--seed", type=int, default=SEED)
    options = parser.parse_args()
    for row in check_kinds(options.kind or KINDS, options.cases, options.seed):
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
