"""One training at a time in a store, whoever starts it: a server, the command line or a process of its own.

In this module: holding (who holds a store's training lock may train; the system frees it when its process ends in any way)
and train_in_turn.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from expertnet.store.queue import RunQueue
from expertnet.store.run import Run
from expertnet.store.status import Status
from expertnet.training.runner import Stop, run_training
from expertnet.utils.processes import this_process

LOOK_EVERY, SIGN_EVERY = 0.5, 20.0  # seconds between two looks at the queue, and between two signs of life in it


@contextmanager
def holding(root: Path) -> Iterator[bool]:
    """Whether the training lock of the store is this thread's; it does not wait for it."""
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
    run: Run,
    stop: Stop,
    *,
    on_progress: Callable[[Status], object] = lambda status: None,
    on_wait: Callable[[], object] = lambda: None,
) -> Status:
    """Queues a run for this process, waits until it is at the head and nothing else trains, and trains it.

    Returns its last status: also of a run that was stopped, or taken out of the queue by others, before its turn.
    """
    root = run.path.parent
    queue, signed, waited = RunQueue(root), time.monotonic(), False
    queue.add(run.id, this_process().beating())
    try:
        while True:
            with holding(root) as mine:
                if mine and queue.take(run.id):
                    try:
                        return run_training(run, stop, on_progress=on_progress)
                    finally:
                        queue.done()
            if not waited:
                on_wait()
                waited = True
            if run.id not in queue.ids():  # who took it out has said so in its status, or moved it to the trash
                return run.status() if run.path.is_dir() else Status().changed(state="stopped")
            if stop.wait(LOOK_EVERY):
                run.leave_queue(stop.state)
                return run.status()
            if time.monotonic() - signed > SIGN_EVERY:  # another host cannot see that this process lives
                signed = time.monotonic()
                queue.add(run.id, this_process().beating())
    finally:
        queue.remove(run.id)
