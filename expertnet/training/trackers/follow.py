"""The process that sends a run to its trackers: `python -m expertnet.training.trackers.follow FOLDER TRACKER...`.

It reads what the training writes, and ends once it has sent the end of the run. If a tracker fails, it tries again. A run that
is resumed continues in the tracker where it was.
"""

import os
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from filelock import Timeout

from expertnet.store.run import Run
from expertnet.store.status import Status
from expertnet.store.steps import read_steps
from expertnet.training.trackers.record import (
    TITLES,
    Tracked,
    named_figures,
    read_tracked,
    without_password,
    write_tracked,
)
from expertnet.utils.files import file_lock

EVERY, RETRY_AFTER = 2.0, 10.0  # seconds
PATIENCE = 300.0  # seconds after the end of a run, in which what is left must be sent
LONGEST_ERROR = 300  # characters


class Tracker(Protocol):
    """One run in a tracker. Its methods may raise anything."""

    def begin(self, run: Run, tracked: Tracked) -> Tracked:
        """Create the run with its settings, or open the one that is known already. Returns its id and where it is."""

    def log(self, axis: str, points: Sequence[tuple[int, Mapping[str, float]]]) -> None:
        """Send figures, each with its place on an axis: "epoch" or "step"."""

    def end(self, state: str, figures: Mapping[str, float], files: Sequence[Path]) -> None:
        """Send the final figures, the files and how the run ended."""


def follow(
    run: Run, name: str, tracker: Tracker, patience: float = PATIENCE, pause: Callable[[float], object] = time.sleep
) -> None:
    """Send a run while it trains, until it has ended and all was sent, or `patience` seconds after it ended."""
    tracked, begun, ended = read_tracked(run.path, name) or Tracked(), False, 0.0
    written = tracked
    while run.path.is_dir():
        status = run.status()  # read before the figures, so that the last of them are sent
        if not status.active:
            ended = ended or time.monotonic()
        try:
            if not begun:
                tracked, begun = replace(tracker.begin(run, tracked), ended=False), True
            tracked = _send_epochs(run, tracker, tracked)
            tracked = replace(_send_steps(run, status.steps, tracker, tracked), error="")
            if not status.active:
                tracker.end(status.state, final_figures(status, run.watches_test), _files(run))
                tracked = replace(tracked, ended=True)
        except Exception as error:
            tracked = replace(tracked, error=_sentence(error))
        if tracked != written:
            with suppress(OSError):  # a full disk must not end the sending
                write_tracked(run.path, name, tracked)
                failed, written = tracked.error and not written.error, tracked
                if failed:
                    run.log(f"{TITLES[name]} could not be reached. The studio tries again: {tracked.error}")
        if tracked.ended:
            return
        if ended and time.monotonic() - ended > patience:
            run.log(f"{TITLES[name]} could not be reached, so it lacks the end of this run. Its files are complete.")
            return
        pause(RETRY_AFTER if tracked.error else EVERY)
    with suppress(Exception):  # the run was deleted
        tracker.end("stopped", {}, [])


def _send_epochs(run: Run, tracker: Tracker, tracked: Tracked) -> Tracked:
    """Send the epochs that are new. One that a resumed run repeats was sent before."""
    rows = [row for row in run.metrics() if row["epoch"] > tracked.epoch]
    if not rows:
        return tracked
    tracker.log("epoch", [(row["epoch"], named_figures(row, run.watches_test)) for row in rows])
    return replace(tracked, epoch=rows[-1]["epoch"])


def _send_steps(run: Run, steps: int, tracker: Tracker, tracked: Tracked) -> Tracked:
    """Send the points within the epochs that are new, counted in steps. An epoch has `steps`, or 0 if that is not known yet."""
    points = [point for point in read_steps(run.path) if point.epoch > tracked.step]
    if not (points and steps):
        return tracked
    figures = [{"step/loss": point.loss, "step/images per second": point.images_per_second} for point in points]
    tracker.log("step", [(round(p.epoch * steps), each) for p, each in zip(points, figures, strict=True)])
    return replace(tracked, step=points[-1].epoch)


def final_figures(status: Status, watches_test: bool) -> dict[str, float]:
    """Return the figures that a run has once it has ended, by name. Without validation images, no epoch is the best."""
    figures = {
        "test/accuracy": status.test_accuracy,
        "test/accuracy mirrored too": status.test_accuracy_mirrored,
        "test/accuracy six views": status.test_accuracy_views,
        "test/loss": status.test_loss,
        "best/epoch": None if watches_test else status.best_epoch,
        "best/validation accuracy": None if watches_test else status.best_val_accuracy,
        "training/seconds": status.seconds,
    }
    return {name: float(value) for name, value in figures.items() if value is not None}


def _files(run: Run) -> list[Path]:
    files = [run.path / name for name in ("config.json", "metrics.jsonl", "log.txt")]
    return [file for file in (*files, run.checkpoints.path("best")) if file.is_file()]


def _sentence(error: Exception) -> str:
    """Return the first line of an error, without the passwords in addresses."""
    line = next(iter(str(error).splitlines()), "") or type(error).__name__
    return without_password(line)[:LONGEST_ERROR]


def tracker_of(name: str) -> Tracker:
    """Return a tracker by the name of its setting. Its package is imported when it begins."""
    from expertnet.training.trackers.to_mlflow import MLflowTracker
    from expertnet.training.trackers.to_wandb import WandbTracker

    return MLflowTracker() if name == "mlflow" else WandbTracker()


def main(folder: str, *names: str) -> None:
    if hasattr(os, "nice"):
        os.nice(10)  # the training comes first
    run = Run(Path(folder))
    threads = [
        threading.Thread(target=follow_in_turn, args=(run, name, tracker_of(name)), daemon=True) for name in names
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    exit_anyway = threading.Timer(PATIENCE, os._exit, (0,))  # packages may wait for a server at their exit
    exit_anyway.daemon = True
    exit_anyway.start()


def follow_in_turn(run: Run, name: str, tracker: Tracker, pause: Callable[[float], object] = time.sleep) -> None:
    """Follow a run, once the process of its first part has sent that if it was resumed, unless it is deleted before."""
    lock, config = file_lock(run.path / f"{name}.lock"), run.path / "config.json"
    with suppress(OSError), ExitStack() as held:
        while config.is_file() and not lock.is_locked:  # an attempt to lock would make the folder of a deleted run anew
            try:
                held.enter_context(lock.acquire(blocking=False))
            except Timeout:
                pause(EVERY)
        if config.is_file():
            follow(run, name, tracker)


if __name__ == "__main__":
    main(*sys.argv[1:])
