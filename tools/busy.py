"""Run a command several times while other processes keep every core busy: python -m tools.busy --times 5 make test

Stops at the first failure and exits with its status. Tests that wait for a time instead of a condition fail here.
--beside "COMMAND" loads the machine with a long command of your own, such as a training, which is ended afterwards.
"""

import argparse
import os
import shlex
import subprocess
import sys


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("command", nargs=argparse.REMAINDER)
    parser.add_argument("--beside", metavar="COMMAND", help="loads the machine instead of one endless loop per core")
    options = parser.parse_args()
    loop = [sys.executable, "-c", "while True: pass"]
    commands = [shlex.split(options.beside)] if options.beside else [loop] * (os.cpu_count() or 1)
    load = [subprocess.Popen(command) for command in commands]
    try:
        for number in range(1, options.times + 1):
            print(
                f"Run {number} of {options.times} beside {options.beside or f'{len(load)} endless loops'}", flush=True
            )
            status = subprocess.run(options.command, check=False).returncode
            if status:
                sys.exit(status)
            if any(process.poll() is not None for process in load):
                sys.exit("The load ended before the tests did. Choose a longer one.")
    finally:
        for process in load:
            process.terminate()  # a training makes its last epoch safe
            process.wait()


if __name__ == "__main__":
    main()
