"""Long computing for a page, in a thread of its own, with progress.

In this module: Task, start, find. A task belongs to the process: leaving the page, reloading it or opening a second one
changes nothing. What is to last it keeps itself, on disk; nothing here knows of a browser.
"""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Hashable
from functools import cache
from typing import Any

from expertnet.errors import UserError
from expertnet.utils.progress import Cancelled, Report, ShouldStop

Work = Callable[[Report, ShouldStop], object]
KEPT = 32  # tasks; those that have ended longest ago are forgotten first


class Task:
    """Work that goes on in the background. All that is public may be read at any time; `result` is None until it has ended well."""

    def __init__(self, work: Work) -> None:
        self.activity, self.share, self.error = "", 0.0, ""
        self.result: Any = None
        self._work, self._stop = work, threading.Event()
        self._thread = threading.Thread(target=self._run, name="task", daemon=True)
        self._thread.start()

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    def stop(self) -> None:
        """Asks it to stop; it does at its next look."""
        self._stop.set()

    def join(self, timeout: float | None = None) -> None:
        self._thread.join(timeout)

    def _report(self, activity: str, share: float | None) -> None:
        self.activity, self.share = activity, share or 0.0

    def _run(self) -> None:
        try:
            self.result = self._work(self._report, self._stop.is_set)
        except Cancelled:
            pass
        except UserError as error:
            self.error = str(error)
        except Exception as error:
            traceback.print_exc()
            self.error = f"It ended on an error it did not expect ({type(error).__name__}: {error})."


@cache
def _tasks() -> tuple[dict[Hashable, Task], threading.Lock]:
    return {}, threading.Lock()


def start(key: Hashable, work: Work) -> Task:
    """Starts work under a key, unless it is running already."""
    tasks, lock = _tasks()
    with lock:
        if key not in tasks or not tasks[key].running:
            tasks[key] = Task(work)
            ended = [old for old, task in tasks.items() if not task.running and old != key]
            for old in ended[: max(len(tasks) - KEPT, 0)]:
                del tasks[old]
        return tasks[key]


def find(key: Hashable) -> Task | None:
    """The last task that was started under a key."""
    return _tasks()[0].get(key)
