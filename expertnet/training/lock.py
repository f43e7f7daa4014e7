"""One training at a time per store, whichever server, command line or worker process starts it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from expertnet.store.queue import RunQueue
from expertnet.store.run import Run
from expertnet.store.status import Status
from expertnet.training.runner import OnProgress, run_training
from expertnet.training.stop import Stop
from expertnet.utils.processes import this_process

TICK, HEARTBEAT_EVERY = 0.5, 20.0  # seconds between two looks at the queue, and between two heartbeats in it


@contextmanager
def training_lock(root: Path) -> Iterator[bool]:
    """Try to acquire the training lock of a store, without waiting, and yield whether that worked.

    The system releases it when its process ends in any way.
    """
    root.mkdir(parents=True, exist_ok=True)
    lock = FileLock(root / "training.lock", blocking=False, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def train_in_turn(
    run: Run, stop: Stop, *, on_progress: OnProgress = lambda status: None, on_wait: Callable[[], object] = lambda: None
) -> Status:
    """Queue a run for this process, train it when its turn comes, and return its final status.

    If it is stopped, or removed from the queue, before its turn, it is not trained.
    """
    root = run.path.parent
    queue, waited = RunQueue(root), False
    queue.add(run.id, this_process().beating())
    last_heartbeat = time.monotonic()
    try:
        while True:
            with training_lock(root) as acquired:
                if acquired and queue.take(run.id):
                    try:
                        return run_training(run, stop, on_progress=on_progress)
                    finally:
                        queue.done()
            if not waited:
                on_wait()
                waited = True
            if run.id not in queue.ids():  # whoever removed it has set its state or moved it to the trash
                return run.status() if run.path.is_dir() else Status().changed(state="stopped")
            if stop.wait(TICK):
                run.leave_queue(stop.state)
                return run.status()
            if time.monotonic() - last_heartbeat > HEARTBEAT_EVERY:  # other hosts cannot see this process
                last_heartbeat = time.monotonic()
                queue.add(run.id, this_process().beating())
    finally:
        queue.remove(run.id)
