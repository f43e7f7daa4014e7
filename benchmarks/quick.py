"""Measure the time and accuracy of the preset `quick`: python -m benchmarks.quick [--dataset D] [--epochs N]

Runs the command that a user would run, in an empty store, and prints a row for docs/benchmarks.md: seconds from the
command to the result, seconds per epoch, images per second, best validation accuracy and test accuracy.
"""

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="digits", help="name of a dataset, or path of a folder or archive")
    parser.add_argument("--epochs", type=int, help="epochs, if not the preset's")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    command = [sys.executable, "-m", "expertnet", "train", "--preset", "quick", "--dataset", options.dataset]
    command += ["--set", f"seed={options.seed}"] + (
        ["--set", f"training.epochs={options.epochs}"] if options.epochs else []
    )
    with tempfile.TemporaryDirectory() as store:
        started = time.perf_counter()
        done = subprocess.run([*command, "--json", "--runs-dir", store], cwd=ROOT, stdout=subprocess.PIPE, check=False)
        whole = time.perf_counter() - started
        if done.returncode:
            sys.exit(done.returncode)
        result = json.loads(done.stdout)
        metrics = (Path(store) / result["run"] / "metrics.jsonl").read_text().splitlines()
    epochs = [json.loads(line)["seconds"] for line in metrics]
    print(
        f"{Path(options.dataset).name}, {result['epochs']} epochs, seed {options.seed}, {result['device']}, "
        f"{platform.processor() or platform.machine()}: {whole:.0f} s from the command to the result, "
        f"{sorted(epochs)[len(epochs) // 2]:.1f} s per epoch (median), {result['images_per_second']:.0f} images/s, "
        f"validation {result['best_val_accuracy']:.2%}, test {result['test_accuracy']:.2%}"
    )


if __name__ == "__main__":
    main()
