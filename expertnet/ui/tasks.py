"""Run long computations of pages in background threads.

A task belongs to the process, so it continues when the user leaves or reloads the page, and every tab shows the same task.
"""

import threading
import time
import traceback
from collections.abc import Callable, Hashable
from math import inf
from typing import Any

from expertnet.errors import UserError
from expertnet.utils.progress import Cancelled, Report, ShouldStop

Work = Callable[[Report, ShouldStop], object]
LIMIT = 32  # tasks; beyond it, the oldest finished ones are forgotten
JUDGED_AFTER = 1.0  # seconds; the first ones are too slow to estimate the rest


class Task:
    """Work in a background thread. Its attributes may be read at any time; `result` is None until the work succeeds.

    The work ends `too_slow`, without a result, once its progress says that it will take more than `within` seconds, and then
    `estimate` is how many.
    """

    def __init__(self, work: Work, within: float = inf) -> None:
        self.activity, self.share, self.error, self.estimate = "", 0.0, "", 0.0
        self.result: Any = None
        self._work, self._stop, self._within, self._started = work, threading.Event(), within, time.monotonic()
        self._begun = self._started, 0.0  # when the activity began, and its share then
        self._thread = threading.Thread(target=self._run, name="task", daemon=True)
        self._thread.start()

    @property
    def too_slow(self) -> bool:
        return self.estimate > 0

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    @property
    def age(self) -> float:
        """Return the seconds since the start."""
        return time.monotonic() - self._started

    def stop(self) -> None:
        """Ask the work to stop. It does so the next time it checks."""
        self._stop.set()

    def join(self, timeout: float | None = None) -> None:
        self._thread.join(timeout)

    def _report(self, activity: str, share: float | None) -> None:
        now, share = time.monotonic(), share or 0.0
        if activity != self.activity:
            self._begun = now, share
        self.activity, self.share = activity, share
        begun, first = self._begun
        seconds = now - self._started
        if seconds >= JUDGED_AFTER and share > first:
            left = (now - begun) / (share - first) * (1 - share)
            if seconds + left > self._within:
                self.estimate = seconds + left
                raise Cancelled

    def _run(self) -> None:
        try:
            self.result = self._work(self._report, self._stop.is_set)
        except Cancelled:
            pass
        except UserError as error:
            self.error = str(error)
        except Exception as error:
            traceback.print_exc()
            self.error = f"The computation failed with an unexpected error ({type(error).__name__}: {error})."


_tasks: dict[Hashable, Task] = {}
_lock = threading.Lock()


def start(key: Hashable, work: Work, within: float = inf) -> Task:
    """Start work under a key and return its task, or the running task with that key. `within` is that of Task."""
    with _lock:
        if key not in _tasks or not _tasks[key].running:
            _tasks[key] = Task(work, within)
            finished = [old for old, task in _tasks.items() if not task.running and old != key]
            for old in finished[: max(len(_tasks) - LIMIT, 0)]:
                del _tasks[old]
        return _tasks[key]


def find(key: Hashable) -> Task | None:
    """Return the last task started under a key, or None."""
    return _tasks.get(key)
