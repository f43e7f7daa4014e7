"""Breaks trainings on purpose and checks what is left.

Each training is a small network on the digits. A process runs it and is killed (SIGKILL) at a random instant or at the
n-th write, or its disk is a tmpfs that is too small. Afterwards the store must open, at most the epoch in progress may be
lost, and the resumed training must end with the same bits as an undisturbed one. Import this module only in a process of
its own: it forks, so the process must have a single thread.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # set before torch is loaded, because the process forks

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

import torch._dynamo  # noqa: F401 (loaded once here instead of in every child)

from expertnet.data.datasets import load_dataset
from expertnet.store.checks import find_damage
from expertnet.store.run import Run
from expertnet.store.run_store import RunStore
from expertnet.training.runner import run_training
from expertnet.training.start import prepare_resume
from expertnet.training.stop import Stop
from tests.support.small import figures, settings

SETTINGS = settings(**{"training.epochs": 4, "training.keep_every": 2})
WRITE_EVENTS = {"open", "os.rename", "os.remove"}  # Python's audit events


def forked(work: Callable[[], object], kill_after: float | None = None) -> int:
    """Run work in a child process, killed after so many seconds if given, and return its wait status."""
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
    """Create a run in a process that has since ended, so that no live process owns it."""
    forked(lambda: store.create(SETTINGS))
    return store.list()[0]


def train_until_write(run: Run, fatal_write: int) -> None:
    """Train, and kill this process at the n-th write inside the run's folder."""
    writes = 0

    def hook(name: str, arguments: tuple[Any, ...]) -> None:
        nonlocal writes
        if name not in WRITE_EVENTS or str(run.path) not in str(arguments[0]):
            return
        if name == "open" and not (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR):
            return
        writes += 1
        if writes == fatal_write:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    train(run)


def result(run: Run) -> tuple[object, ...]:
    """Return everything that two trainings with the same settings must have in common."""
    kinds = (*run.checkpoints.present(), *run.checkpoints.saved_epochs().values())
    weights = [run.checkpoints.path(kind).read_bytes() for kind in kinds]
    status = run.status()
    return figures(run), weights, status.state, status.test_accuracy, status.test_loss


def problem_in_store(store: RunStore, run: Run) -> str:
    """Say what is wrong with a store after a fault; an empty string means nothing is."""
    if [each.id for each in store.list()] != [run.id] or find_damage(run):
        return f"the store does not open: {find_damage(run)}"
    status, state = run.status(), run.checkpoints.load_resume()
    if status.state not in ("interrupted", "failed", "finished"):
        return f"the run is {status.state}"
    if status.epoch and (state is None or state["epoch"] < status.epoch):
        return f"epoch {status.epoch} is lost"
    for kind in run.checkpoints.present():
        run.checkpoints.load(kind)
    return ""


def problem_after_resume(run: Run, undisturbed: tuple[object, ...]) -> str:
    """Resume a run and say how its result differs from an undisturbed one; an empty string means it does not."""
    if run.state != "finished":
        prepare_resume(run)
        if forked(lambda: train(run)):
            return "the resumed training ended with an error"
    return "" if result(run) == undisturbed else "the bits differ from those of an undisturbed training"


def kills(
    folder: Path, count: int, seed: int, undisturbed: tuple[object, ...], seconds: float, at_writes: bool
) -> list[str]:
    """Kill `count` trainings and return the problem found after each; empty if none."""
    rng, problems = random.Random(seed), []
    for number in range(count):
        store = RunStore(folder / f"{'write' if at_writes else 'instant'}-{number}")
        run = created(store)
        if at_writes:
            forked(lambda run=run, write=number + 1: train_until_write(run, write))  # type: ignore[misc]
        else:
            forked(lambda run=run: train(run), rng.uniform(0, seconds))  # type: ignore[misc]
        problems.append(problem_in_store(store, run) or problem_after_resume(run, undisturbed))
        shutil.rmtree(store.root)
    return problems


def mount_tmpfs(folder: Path, kib: int) -> bool:
    """Mount a disk of that size at the folder; return False if this user may not mount one."""
    folder.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={kib}k", "tmpfs", str(folder)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def full_disks(folder: Path, count: int, undisturbed: tuple[object, ...], need: int) -> list[str]:
    """Train on `count` disks that are too small, enlarge each, resume, and return the problem found after each."""
    problems = []
    for number in range(count):
        root = folder / "disk"
        kib = 24 + (need // 1024 - 24) * number // count
        if not mount_tmpfs(root, kib):
            return []
        try:
            store = RunStore(root)
            run = created(store)
            forked(lambda run=run: train(run))  # type: ignore[misc]
            status = run.status()
            fault = "" if status.state == "failed" and "full" in (status.error or "") else f"the status is {status}"
            subprocess.run(["mount", "-o", f"remount,size={need * 4}", str(root)], check=True)
            problems.append(fault or problem_in_store(store, run) or problem_after_resume(run, undisturbed))
        finally:
            subprocess.run(["umount", str(root)], check=True)
    return problems


def break_trainings(kill_count: int, disk_count: int, seed: int) -> dict[str, list[str]]:
    """Return the problem found after each fault, by kind of fault. A kind that cannot be tried here has no entries."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        forked(lambda: load_dataset(SETTINGS.data, SETTINGS.seed))  # decodes the digits for all children
        run = created(RunStore(folder / "undisturbed"))
        started = time.perf_counter()
        forked(lambda: train(run))
        seconds, undisturbed = time.perf_counter() - started, result(run)
        assert run.state == "finished", run.log_tail()
        need = sum(path.stat().st_size for path in run.path.iterdir())
        return {
            "killed at random instants": kills(folder, kill_count, seed, undisturbed, seconds, False),
            "killed at each of the first writes": kills(folder, kill_count, seed, undisturbed, seconds, True),
            "full disks": full_disks(folder, disk_count, undisturbed, need),
        }
