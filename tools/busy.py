"""Run a command several times while other processes keep every core busy: python -m tools.busy --times 5 make all-tests

Stops at the first failure and exits with its status. Tests that wait for a time instead of a condition fail here.
"""

import argparse
import os
import subprocess
import sys


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    load = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(os.cpu_count() or 1)]
    try:
        for number in range(1, options.times + 1):
            print(f"Run {number} of {options.times}, with {len(load)} busy processes beside it", flush=True)
            status = subprocess.run(options.command, check=False).returncode
            if status:
                sys.exit(status)
    finally:
        for process in load:
            process.kill()
            process.wait()


if __name__ == "__main__":
    main()
