"""One training at a time per store, whichever server, command line or worker process starts it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from expertnet.store.queue import FOR_ALL_USERS, RunQueue
from expertnet.store.run import Run
from expertnet.store.status import Status
from expertnet.training.runner import OnProgress, run_training
from expertnet.training.stop import Stop
from expertnet.utils.processes import this_process

TICK = 0.5  # seconds between two looks at the queue


@contextmanager
def training_lock(root: Path) -> Iterator[bool]:
    """Try to acquire the training lock of a store, without waiting, and yield whether that worked.

    The system releases it when its process ends in any way. Raises OSError if it cannot be locked.
    """
    try:
        lock = FileLock(root / "training.lock", mode=FOR_ALL_USERS, blocking=False, thread_local=False).acquire()
    except Timeout:
        yield False
        return
    with lock:
        yield True


def train_if_next(
    run: Run, stop: Stop, on_progress: OnProgress = lambda status: None, own_process: bool = False
) -> Status | None:
    """Train a run if it is at the head of the queue and no other run trains, and return its final status; else None."""
    queue = RunQueue(run.path.parent)
    head = queue.head()
    if head is None or head.run != run.id:
        return None
    with training_lock(queue.root) as free:
        if not free or not queue.take(run.id):
            return None
        try:
            status = run.written_status()
            if status.state != "queued":  # a process died while it stopped the run, or the folder is gone
                return status
            run.write_status(status.changed(process=this_process().beating(), own_process=own_process))
            return run_training(run, stop, on_progress=on_progress)
        finally:
            queue.done()


def train_in_turn(
    run: Run,
    stop: Stop,
    *,
    on_progress: OnProgress = lambda status: None,
    on_wait: Callable[[], object] = lambda: None,
    own_process: bool = False,
) -> Status:
    """Claim a run in the queue for this process, train it when its turn comes, and return its final status.

    If it is stopped, removed from the queue or claimed by another process before its turn, it is not trained.
    """
    queue, waited = RunQueue(run.path.parent), False
    while queue.claim(run.id):
        status = train_if_next(run, stop, on_progress, own_process)
        if status:
            return status
        if not waited:
            on_wait()
            waited = True
        if stop.wait(TICK) and queue.remove(run.id):
            run.leave_queue(stop.state)
    # whoever removed it has set its state or moved it to the trash
    return run.status() if run.path.is_dir() else Status(state="stopped")
