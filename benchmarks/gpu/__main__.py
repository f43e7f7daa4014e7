"""Measure everything that needs a GPU: python -m benchmarks.gpu [--minutes M] [--data PATH] [--rows FILE] [--only ROW ...] [--merge]

Checks that the GPU computes what a CPU computes in float64, and stops with an error if it does not. Then measures, in this
order, the speed of the ways to train, the accuracy of whole trainings, and what live pages cost. Each row is written to
FILE as soon as it is measured, and skipped if it is there. A training that runs out of time is resumed by the next call.
With --merge, prints the tables of docs/benchmarks.md from FILE instead. README.md says what the machine needs, METHOD.md
what each row measures.
"""

import argparse
import math
import sys
import time
import traceback
from pathlib import Path

import torch

from benchmarks.gpu.bench import Bench, Rows
from benchmarks.gpu.correctness import WrongError
from benchmarks.gpu.plan import plan
from benchmarks.gpu.tables import tables
from benchmarks.rows import RESULTS
from expertnet.errors import UserError
from expertnet.utils.devices import device_name


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--minutes", type=float, default=math.inf, help="end after this time (default: when all is measured)"
    )
    parser.add_argument("--data", default="cifar10", help="name of a dataset, or path of a folder or archive")
    parser.add_argument("--rows", type=Path, default=RESULTS / "gpu.jsonl", help="file of the rows")
    parser.add_argument(
        "--only", nargs="+", default=[""], metavar="ROW", help="only the rows whose names begin like this"
    )
    parser.add_argument("--merge", action="store_true", help="print the tables of docs/benchmarks.md")
    parser.add_argument("--device", default="cuda", help="for tests: another device")
    parser.add_argument("--miniature", action="store_true", help="for tests: tiny networks, and nothing is compiled")
    options = parser.parse_args()
    rows = Rows(options.rows)
    if options.merge:
        print(tables(rows.read()))
        return
    runs = options.rows.with_suffix(".runs")
    deadline = time.monotonic() + options.minutes * 60
    bench = Bench(options.device, options.data, runs, deadline, options.miniature)
    try:
        sys.exit(measure(bench, rows, tuple(options.only)))
    except UserError as error:
        sys.exit(str(error))


def measure(bench: Bench, rows: Rows, only: tuple[str, ...] = ("",)) -> int:
    """Measure the rows that are not there and whose names begin like one of `only`. Returns the exit status: 1 if one failed."""
    print(f"{device_name(bench.device)}, torch {torch.__version__}, {bench.data_setting}", flush=True)
    failed = 0
    for row in (row for row in plan(bench) if row.name.startswith(only)):
        if rows.has(row, bench):
            print(f"{row.name}: already measured", flush=True)
            continue
        if bench.seconds_left < row.seconds:
            print(f"{row.name}: no time left", flush=True)
            if row.checks:
                return failed
            continue
        started = time.monotonic()
        try:
            figures = row.measure()
        except WrongError as error:
            sys.exit(f"{row.name}: the results differ too much from those of a CPU in float64.\n{error}")
        except Exception:  # a row that fails must not cost the others, unless it checks them
            print(f"{row.name}: failed", flush=True)
            traceback.print_exc()
            if row.checks:
                return 1
            failed = 1
            continue
        if figures is None:
            print(f"{row.name}: not finished; the next call resumes it", flush=True)
            continue
        rows.add(row, bench, figures)
        print(f"{row.name}: {time.monotonic() - started:.0f} s  {figures}", flush=True)
    return failed


if __name__ == "__main__":
    main()
