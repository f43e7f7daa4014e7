"""As many trainings at once per store as its queue allows, whichever server, command line or worker process starts them.

Each training holds its run, and one of the store's places for each of its processes: lock files, which the system releases when the
process that took them ends in any way. What a user starts with torchrun holds its run only.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path

from filelock import Timeout

from expertnet.store.queue import RunQueue
from expertnet.store.run import Run
from expertnet.store.status import Status
from expertnet.training.launcher import train
from expertnet.training.place import Place
from expertnet.training.process import TICK
from expertnet.training.runner import OnProgress, settled
from expertnet.training.stop import Stop, leave_untrained
from expertnet.utils.files import file_lock
from expertnet.utils.processes import this_process


@contextmanager
def training_lock(root: Path, limit: int = 1, processes: int = 1) -> Iterator[Place | None]:
    """Try to lock a place of a store for each process of a run, without waiting, and yield the first; None if there is no room.

    The places lie side by side, so that they are those of as many GPUs. There is room if the places in use stay within the `limit`,
    or if none is. Raises OSError if a place cannot be locked.
    """
    end, taken, mine = max(limit, processes), 0, 0  # the first place
    with ExitStack() as held:
        for number in range(max(end, _used_before(root))):
            lock = file_lock(_lock_path(root, number))
            try:
                lock.acquire(blocking=False)
            except Timeout:
                taken += 1
                if number < mine + processes:
                    held.close()
                    mine = number + 1
                continue
            if number < mine + processes:
                held.callback(lock.release)
            else:
                lock.release()
        fits = mine + processes <= end and taken + min(processes, limit) <= limit
        if not fits:
            held.close()
        yield Place(mine, limit) if fits else None


def _lock_path(root: Path, number: int) -> Path:
    return root / (f"training-{number + 1}.lock" if number else "training.lock")


def _used_before(root: Path) -> int:
    """Return the number of places that were ever used. More than the limit may be in use after it was lowered."""
    return next(number for number in count(1) if not _lock_path(root, number).exists())


@contextmanager
def run_lock(run: Run, stop: Stop) -> Iterator[bool]:
    """Lock a run, so that no other process trains it, and wait for one that does. Yields False if a stop comes before.

    Servers and commands share a run with Ray, which may start it again at any time. Raises OSError if it cannot be locked.
    """
    with ExitStack() as stack:
        lock = file_lock(run.path / "training.lock")
        while not lock.is_locked:
            try:
                stack.enter_context(lock.acquire(blocking=False))
            except Timeout:
                if stop.wait(TICK) or run.stop_asked():  # nobody else reads the request until the run trains
                    break
        yield lock.is_locked


@contextmanager
def held(run: Run, stop: Stop, own_process: bool = False) -> Iterator[Status | None]:
    """Lock a queued run and yield None, if this process is to train it; else yield the status with which it left the queue.

    Raises OSError if the run cannot be locked.
    """
    with run_lock(run, stop) as mine:
        status = run.written_status()
        if status.state != "queued":  # another process has trained it meanwhile
            yield status
        elif not mine:
            yield leave_untrained(run, stop)
        else:
            run.write_status(status.changed(process=this_process().beating(), own_process=own_process))
            yield None


def processes_of(run: Run) -> int:
    """Return how many processes train a run."""
    return run.settings().hardware.processes if run.has_settings else 1


def train_if_next(
    run: Run, stop: Stop, on_progress: OnProgress = lambda status: None, own_process: bool = False
) -> Status | None:
    """Train a run if it is at the head of the queue and a place is free, and return its final status; else None."""
    queue = RunQueue(run.path.parent)
    head = queue.head()
    if head is None or head.run != run.id:
        return None
    with training_lock(queue.root, queue.limit, processes_of(run)) as place:
        if place is None or not queue.take(run.id, place.number):
            return None
        try:
            return _train_taken(run, stop, on_progress, own_process, place)
        finally:
            queue.done(run.id)


def _train_taken(run: Run, stop: Stop, on_progress: OnProgress, own_process: bool, place: Place) -> Status:
    status = run.written_status()
    if status.state != "queued":  # a process died while it stopped the run, or the folder is gone
        return status
    with held(run, stop, own_process) as ended:
        if ended:
            return ended
        status = train(run, stop, on_progress=on_progress, place=place)
    return settled(run, status)  # which may move the folder with the lock


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
