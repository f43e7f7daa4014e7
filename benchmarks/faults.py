"""Breaks trainings and looks at what is left: `python -m benchmarks.faults --kills 100`.

Each training is a small network on the digits, in a process that is killed (SIGKILL) at a random instant, or at the n-th
opening or renaming of a file, or whose disk (a tmpfs of its own, where one can be mounted) is too small. Then the store has
to open, at most the epoch in progress may be lost, and what goes on has to end with the bits of a training left alone.
"""

from __future__ import annotations

import argparse
import json
import os

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is loaded: a process that is to be forked must have no threads

import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch._dynamo  # noqa: F401 (every child would load it anew)

from expertnet.data.datasets import load_dataset
from expertnet.store.run import Run
from expertnet.store.run_store import RunStore
from expertnet.training.manager import prepare_resume
from expertnet.training.runner import Stop, run_training
from tests.support.small import figures, settings

SETTINGS = settings(**{"training.epochs": 4, "training.keep_every": 2})
MADE = {"open", "os.rename", "os.remove"}  # Python's audit events of a write


def forked(work: Callable[[], object], kill_after: float | None = None) -> int:
    """Runs work in a child and returns its wait status."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(pid, signal.SIGKILL)
    return os.waitpid(pid, 0)[1]


def train(run: Run) -> None:
    run_training(run, Stop())


def created(store: RunStore) -> Run:
    """A run that a process has made which lives no more."""
    forked(lambda: store.create(SETTINGS))
    return store.list()[0]


def killed_at(run: Run, event: int) -> None:
    """Trains, and dies at the event-th writing event in the store."""
    seen = 0

    def hook(name: str, arguments: tuple[Any, ...]) -> None:
        nonlocal seen
        if name not in MADE or str(run.path) not in str(arguments[0]):
            return
        if name == "open" and not (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR):
            return
        seen += 1
        if seen == event:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    train(run)


def bits(run: Run) -> tuple[object, ...]:
    """All that two trainings of the same settings have in common."""
    kinds = (*run.checkpoints(), *run.kept_epochs().values())
    weights = [run.checkpoint_path(kind).read_bytes() for kind in kinds]
    status = run.status()
    return figures(run), weights, status["state"], status["test_accuracy"], status["test_loss"]


def look(store: RunStore, run: Run) -> str:
    """What is wrong with a store after a fault; empty where nothing is."""
    if [each.id for each in store.list()] != [run.id] or run.damage():
        return f"the store does not open: {run.damage()}"
    status, state = run.status(), run.load_resume()
    if status["state"] not in ("interrupted", "failed", "finished"):
        return f"it is {status['state']}"
    if status["epoch"] and (state is None or state["epoch"] < status["epoch"]):
        return f"epoch {status['epoch']} is lost"
    for kind in run.checkpoints():
        run.load_weights(kind)
    return ""


def goes_on(run: Run, whole: tuple[object, ...]) -> str:
    """Goes on with a run, and says what differs from one left alone."""
    if run.state != "finished":
        prepare_resume(run)
        if forked(lambda: train(run)):
            return "going on ended with an error"
    return "" if bits(run) == whole else "other bits than those of a training left alone"


def kills(folder: Path, count: int, seed: int, whole: tuple[object, ...], seconds: float, at_writes: bool) -> list[str]:
    """Kills so many trainings; what was wrong with each, empty where nothing was."""
    rng, wrong = random.Random(seed), []
    for number in range(count):
        store = RunStore(folder / f"{'write' if at_writes else 'instant'}-{number}")
        run = created(store)
        if at_writes:
            forked(lambda run=run, event=number + 1: killed_at(run, event))  # type: ignore[misc]
        else:
            forked(lambda run=run: train(run), rng.uniform(0, seconds))  # type: ignore[misc]
        wrong.append(look(store, run) or goes_on(run, whole))
        shutil.rmtree(store.root)
    return wrong


def mounted(folder: Path, kib: int) -> bool:
    """A disk of that size at the folder; False where this user may not mount one."""
    folder.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={kib}k", "tmpfs", str(folder)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def full_disks(folder: Path, count: int, whole: tuple[object, ...], need: int) -> list[str]:
    """Trains on disks of growing size, too small for the training, makes room, and goes on."""
    wrong = []
    for number in range(count):
        root = folder / "disk"
        kib = 24 + (need // 1024 - 24) * number // count
        if not mounted(root, kib):
            return []
        try:
            store = RunStore(root)
            run = created(store)
            forked(lambda run=run: train(run))  # type: ignore[misc]
            status = run.status()
            problem = "" if status["state"] == "failed" and "full" in (status["error"] or "") else f"it says {status}"
            subprocess.run(["mount", "-o", f"remount,size={need * 4}", str(root)], check=True)
            wrong.append(problem or look(store, run) or goes_on(run, whole))
        finally:
            subprocess.run(["umount", str(root)], check=True)
    return wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100, help="of each kind")
    parser.add_argument("--disks", type=int, default=25)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        forked(lambda: load_dataset(SETTINGS.data, SETTINGS.seed))  # decoded once, by a child
        alone = created(RunStore(folder / "alone"))
        started = time.perf_counter()
        forked(lambda: train(alone))
        seconds, whole = time.perf_counter() - started, bits(alone)
        assert alone.state == "finished", alone.log_tail()
        need = sum(path.stat().st_size for path in alone.path.iterdir())
        found = {
            "killed at random instants": kills(folder, arguments.kills, arguments.seed, whole, seconds, False),
            "killed at each of the first writes": kills(folder, arguments.kills, arguments.seed, whole, seconds, True),
            "full disks": full_disks(folder, arguments.disks, whole, need),
        }
    for kind, wrong in found.items():
        for number, problem in enumerate(wrong):
            if problem:
                print(f"{kind}, {number}: {problem}", file=sys.stderr)
        print(f"{kind}: {wrong.count('')} of {len(wrong)} survived" if wrong else f"{kind}: not tried here")
    print(json.dumps({kind: [wrong.count(""), len(wrong)] for kind, wrong in found.items()} | {"seed": arguments.seed}))
    sys.exit(any(problem for wrong in found.values() for problem in wrong))


if __name__ == "__main__":
    main()
