"""Write status.json while a run trains."""

import threading
import time
from contextlib import suppress
from typing import Any, Self

import torch

from expertnet.store.run import Run
from expertnet.training.stop import Stop
from expertnet.utils.devices import process_memory, utilization
from expertnet.utils.processes import this_process

TICK, WRITE_EVERY, MEASURE_EVERY, HEARTBEAT_EVERY = 0.1, 0.5, 2.0, 5.0  # seconds


class StatusWriter:
    """Writes the status at most twice a second, from a timer, so that a run looks alive during a long step.

    The timer also sets `stop` when another process asks the run to stop.
    """

    def __init__(self, run: Run, stop: Stop) -> None:
        self.run, self.stop, self.status = run, stop, run.status().changed(process=this_process())
        self._device: torch.device | None = None
        self._written = self._measured = 0.0  # monotonic time
        self._lock, self._closed, self._changed = threading.Lock(), threading.Event(), False
        self._thread = threading.Thread(target=self._tick, name=f"status {run.id}", daemon=True)

    def __enter__(self) -> Self:
        self._check_stop()
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._closed.set()
        self._thread.join()
        self.flush()

    def update(self, **values: Any) -> None:
        """Change the status, which is written soon after."""
        with self._lock:
            self.status = self.status.changed(**values)
            self._changed = True

    def watch(self, device: torch.device) -> None:
        """Report how busy a device is from now on, without what came before the training."""
        utilization(device)
        self._device, self._measured = device, time.monotonic()

    def flush(self) -> None:
        """Write the status now. Raises OSError."""
        with self._lock:
            state = "stopping" if self._is_stopping() else self.status.state
            self.status = self.status.changed(state=state, heartbeat=time.time())
            self._written, self._changed = time.monotonic(), False
            self.run.write_status(self.status)

    def _is_stopping(self) -> bool:
        return self.stop.is_set() and self.status.state == "running"

    def _check_stop(self) -> None:
        if not self.stop.is_set() and self.run.stop_asked():
            self.stop.set()

    def _measure(self) -> None:
        if self._device is not None and time.monotonic() - self._measured > MEASURE_EVERY:
            self._measured = time.monotonic()
            self.update(utilization=utilization(self._device), process_memory=process_memory())

    def _tick(self) -> None:
        while not self._closed.wait(TICK):
            self._check_stop()
            self._measure()
            age = time.monotonic() - self._written
            if self._is_stopping() or (self._changed and age > WRITE_EVERY) or age > HEARTBEAT_EVERY:
                with suppress(OSError):  # the next commit of an epoch reports it
                    self.flush()
