"""Train queued runs in the background of a server.

Pages ask the manager to start and stop runs, and read everything else from the store.
"""

import atexit
import re
import threading
from functools import cache
from pathlib import Path

from expertnet.settings.schema import Settings
from expertnet.settings.seeds import seeds_from
from expertnet.store.notes import MAX_NAME
from expertnet.store.queue import RunQueue
from expertnet.store.run import Run
from expertnet.store.run_store import RunStore
from expertnet.store.status import ACTIVE_STATES
from expertnet.training.executor import Executor
from expertnet.training.local import LocalExecutor
from expertnet.training.ray_executor import RayExecutor, uses_ray
from expertnet.training.start import check_can_start, prepare_resume
from expertnet.utils.text import cut


class Manager:
    """Checks what is to be trained, and hands it to the executor of a store. Any thread may call its methods."""

    def __init__(self, store: RunStore | None = None, executor: Executor | None = None) -> None:
        self.store = store or RunStore()
        self.queue = RunQueue(self.store.root)
        self.executor: Executor = executor or LocalExecutor(self.store.root)

    def submit(self, settings: Settings, *, preset: str = "", name: str = "") -> Run:
        """Queue a new run and return it. Raises UserError if it cannot start."""
        check_can_start(settings, self.store)
        run = self.store.create(settings, preset, name)
        self.executor.submit(run)
        return run

    def repeat(self, run: Run) -> Run:
        """Queue a run again with the next seed, which is added to its name if it has one. Raises UserError if it cannot start."""
        settings = run.settings()
        _, seed = seeds_from(settings.seed, 2)
        name, ending = re.sub(r", seed \d+$", "", run.given_name), f", seed {seed}"
        name = name and cut(name, MAX_NAME - len(ending)) + ending
        return self.submit(settings.model_copy(update={"seed": seed}), preset=run.preset, name=name)

    def resume(self, run: Run, epochs: int | None = None) -> Run:
        """Queue a run to resume from its last completed epoch. A finished run needs more `epochs`, in total."""
        prepare_resume(run, epochs)
        self.executor.submit(run)
        return run

    def stop(self, run: Run, discard: bool = False) -> None:
        """Stop a run that trains or waits in any process on the store. With `discard`, it then moves to the trash."""
        self.executor.stop(run, discard)

    def pause(self, paused: bool) -> None:
        """Pause or continue the queue. Runs that already train are not affected."""
        self.queue.pause(paused)
        self.wake()

    def set_limit(self, trainings: int) -> None:
        """Let so many runs train at once. Those that already train are not affected. Raises RunError."""
        self.queue.set_limit(trainings)
        self.wake()

    def training(self) -> list[Run]:
        """Return the runs of this store that train now, in any process, the one that began first at the head."""
        runs = (Run(self.store.root / run_id) for run_id in self.queue.training)
        return [run for run in runs if run.state in ACTIVE_STATES]

    def waiting(self) -> list[Run]:
        """Return the runs in the queue, in order."""
        runs = (Run(self.store.root / run_id) for run_id in self.queue.ids())
        return [run for run in runs if run.path.is_dir()]

    def wake(self) -> None:
        """Train what waits. An earlier server may have left some."""
        self.executor.wake()

    def join(self, run_id: str | None = None, timeout: float | None = None) -> bool:
        """Wait until this manager no longer queues or trains a run (by default: any). Returns False after a timeout."""
        return self.executor.join(run_id, timeout)

    def close(self) -> None:
        """Interrupt the trainings of this server, which ends. Their last completed epochs are kept."""
        self.executor.close()


def manager(store: RunStore | None = None) -> Manager:
    """Return this process's manager of a store, and start it if there is work."""
    with _making:
        found = _manager((store or RunStore()).root.resolve())
    found.wake()
    return found


_making = threading.Lock()  # or two threads could make one each


@cache
def _manager(root: Path) -> Manager:
    created = Manager(RunStore(root), RayExecutor(root) if uses_ray() else None)
    atexit.register(created.close)
    return created
