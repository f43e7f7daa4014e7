"""Kill trainings and fill their disks, then check that they resume to the same bits: python -m benchmarks.faults --kills 100

tests/support/faults.py describes the faults and what must hold after each. Prints how many trainings of each kind survived.
With --ray N, kills the process of N trainings on a Ray cluster of this computer instead, which Ray starts again.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

from tests.support.faults import break_trainings
from tests.support.ray_faults import kills_on_ray


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100, help="trainings to kill in each way (default: %(default)s)")
    parser.add_argument("--disks", type=int, default=25, help="disks to fill (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the random instants (default: %(default)s)")
    parser.add_argument("--ray", type=int, default=0, metavar="N", help="trainings to kill on a Ray cluster")
    options = parser.parse_args()
    if options.ray:
        with tempfile.TemporaryDirectory() as folder:
            found = {"killed on a Ray cluster": kills_on_ray(Path(folder), options.ray, options.seed)}
    else:
        found = break_trainings(options.kills, options.disks, options.seed)
    for kind, problems in found.items():
        for number, problem in enumerate(problems):
            if problem:
                print(f"{kind}, {number}: {problem}", file=sys.stderr)
        survived = f"{problems.count('')} of {len(problems)} survived" if problems else "not tried on this machine"
        print(f"{kind}: {survived}")
    counts = {kind: [problems.count(""), len(problems)] for kind, problems in found.items()}
    print(json.dumps(counts | {"seed": options.seed}))
    sys.exit(any(problem for problems in found.values() for problem in problems))


if __name__ == "__main__":
    main()
