"""Train the trials of a sweep in this process, one after another."""

from collections.abc import Callable
from contextlib import suppress

from expertnet.errors import RunError
from expertnet.store.run import Run
from expertnet.store.status import Status
from expertnet.sweeps.engine import advance, stop_sweep
from expertnet.sweeps.sweep import Sweep
from expertnet.training.lock import train_in_turn
from expertnet.training.stop import Stop
from expertnet.utils.processes import renewing

LOOK_EVERY = 1.0  # seconds between two looks at a training in another process


def search(
    sweep: Sweep,
    stop: Stop,
    *,
    on_trial: Callable[[Run], object] = lambda run: None,
    on_end: Callable[[Status], object] = lambda status: None,
    on_wait: Callable[[], object] = lambda: None,
) -> None:
    """Train trials until the sweep ends or `stop` is set, which also stops the sweep unless it interrupts.

    `on_trial` is called before a trial trains, `on_end` with its status afterwards, and `on_wait` if it waits for its turn.
    """
    epoch, shown = 0, ""

    def on_progress(status: Status) -> None:
        nonlocal epoch
        if status.epoch != epoch:
            epoch = status.epoch
            # There is nothing to judge before the first epoch, and nothing to stop after the last one.
            if 0 < epoch < status.epochs:
                with suppress(RunError):  # such as a database out of reach, at which this training must not fail
                    advance(sweep)

    with renewing(sweep.renew):
        while not stop.is_set() and (runs := advance(sweep)):
            run = runs[0]
            if run.id != shown:
                on_trial(run)
                shown = run.id
            status = train_in_turn(run, stop.part(), on_progress=on_progress, on_wait=on_wait)
            if status.active:  # another process trains it
                stop.wait(LOOK_EVERY)
            else:
                on_end(status)
    if stop.is_set() and not stop.interrupted:
        stop_sweep(sweep)
